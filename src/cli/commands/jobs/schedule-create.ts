import { argument, flag, option } from '../../base/rows.ts';
import { declared } from '../../base/declared.ts';
import type { Operation } from '../../../operations/base/operation.ts';
import type { RequestOf } from '../../../operations/operations.ts';
import { eitherOptions, IMAGES, MACHINES, meantBackup } from '../../options/backup-options.ts';
import { optionsOf, requestOf } from '../../options/operation-command.ts';
import type { Command, Context, Input } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

const CHECK = await declared('store/check');
const RETAIN = await declared('backup/retain');
const SCRUB = await declared('store/scrub');
const SWEEP = await declared('store/sweep');
const VERIFY = await declared('verify/latest');

export const command: Command = {
  summary: 'Back up, check, forget, scrub, sweep or verify at certain times',
  about: [
    'One of --backup, --check, --retain, --scrub, --sweep and --verify. An encrypted set needs a key that the ' +
      'service finds by itself ("passphraseFiles" of the settings, or its credential); a key given here is kept in ' +
      'memory until the service ends. One job makes up for all times that came due while no service ran. ' +
      'While the last job has not ended, no new one is created.',
  ],
  args: [argument('NAME', 'name of the schedule')],
  options: [
    option(
      'at',
      'WHEN',
      "as in systemd.time(7): daily, hourly, 'Mon..Fri 02:30', '*-*-01 04:00', '*:0/15'; in local time, or " +
        'in UTC if "UTC" follows',
      { isRequired: true },
    ),
    option('backup', 'SET', 'back up to this set, with:', { names: ['sets'] }),
    ...eitherOptions(optionsOf(IMAGES), optionsOf(MACHINES)).map((it) => ({
      ...it,
      withQueue: false,
    })),
    flag('check', 'check the store, with:'),
    ...optionsOf(CHECK),
    option('retain', 'SET', 'forget recovery points of this set by its rules, or by --keep-...', {
      names: ['sets'],
    }),
    flag('scrub', 'read a part of the store again, with:'),
    ...optionsOf(SCRUB),
    flag('sweep', 'give back the space of what no recovery point needs'),
    option('verify', 'SET', 'prove the latest recovery point of each machine of this set, with:', {
      names: ['sets'],
    }),
    ...optionsOf(VERIFY),
  ],
  examples: [
    "schedule create check --at '*-*-01 04:00' --check --read-data",
    'schedule create scrub --at daily --scrub --period 30d',
    'schedule create thin --at weekly --retain nightly',
    'schedule create sweep --at weekly --sweep',
    'schedule create proofs --at monthly --verify nightly',
    'schedule create nightly --at daily --backup nightly --machine web1 --disk vda=/dev/vg/web1 --keep-daily 7',
    "schedule create kvm1 --at '22:00' --backup nightly --from 'kvm1/*' --window 8h --keep-daily 7",
  ],
  async run(input, context) {
    const { output, call } = context;
    const at = input.required('at');
    const job = await jobOf(input, context);
    const made = await call('schedule/create', { schedule: input.args[0]!, at, job });
    output.result(made, () => `Schedule ${made.schedule} created; its first job: ${made.next}`);
  },
};

async function jobOf(input: Input, context: Context): Promise<RequestOf<'job/create'>> {
  const meant = ['backup', 'check', 'retain', 'scrub', 'sweep', 'verify'].filter((it) =>
    input.has(it),
  );
  if (meant.length !== 1)
    throw new UsageError(
      'give --backup SET, --check, --retain SET, --scrub, --sweep or --verify SET',
    );
  const [operation, args] = meantBy(input);
  const request = await requestOf(operation, { args, input, isJob: true }, context);
  return { kind: operation.job!.kind, request } as RequestOf<'job/create'>;
}

function meantBy(input: Input): readonly [operation: Operation, args: readonly string[]] {
  const set = input.text('backup');
  if (set !== undefined) return [meantBackup(input), [set]];
  const retained = input.text('retain');
  if (retained !== undefined) return [RETAIN, [retained]];
  const verified = input.text('verify');
  if (verified !== undefined) return [VERIFY, [verified]];
  if (input.has('sweep')) return [SWEEP, []];
  return [input.has('scrub') ? SCRUB : CHECK, []];
}
