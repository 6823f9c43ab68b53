import type { RequestOf } from '../../../operations/operations.ts';
import {
  BACKUP_OPTIONS,
  backupRequest,
  RETENTION_DETAILS,
  RETENTION_OPTIONS,
  retentionOf,
} from '../../options/backup-request.ts';
import type { Command, Context, Input } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage:
    'NAME --at WHEN (--backup SET --machine MACHINE --disk NAME=IMAGE ... | --check [--read-data])',
  details: [
    "--at WHEN          as of systemd: daily, hourly, weekly, monthly, 'Mon..Fri 02:30', '*-*-01 04:00',",
    "                   '*:0/15'; in local time, or with UTC behind it",
    '--backup SET       with the options of "backup create", and:',
    ...RETENTION_DETAILS,
    '--check            with --read-data reads every block as well',
    'An encrypted set needs a key that the service finds by itself ("passphraseFiles" of the settings, or its',
    'credential); one that is given here is kept in memory until the service ends.',
    'What came due while no service ran is made up for once. While its last job has not ended, no new one is made.',
  ],
  options: {
    at: { type: 'string' },
    backup: { type: 'string' },
    check: { type: 'boolean' },
    'read-data': { type: 'boolean' },
    ...BACKUP_OPTIONS,
    ...RETENTION_OPTIONS,
  },
  takes: [1, 1],
  async run(input, context) {
    const { output, call } = context;
    const at = input.required('at');
    const job = await jobOf(input, context);
    const made = await call('schedule/create', { schedule: input.args[0]!, at, job });
    output.result(made, () => `Schedule ${made.schedule} created; its first job: ${made.next}`);
  },
};

async function jobOf(input: Input, context: Context): Promise<RequestOf<'job/create'>> {
  const set = input.text('backup');
  if ((set === undefined) === !input.flag('check')) throw new UsageError('--backup SET or --check');
  if (set === undefined) return { kind: 'check', request: { readData: input.flag('read-data') } };
  const request = await backupRequest(set, input, context);
  return { kind: 'backup', request: { ...request, retention: retentionOf(input) } };
}
