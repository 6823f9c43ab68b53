import type { CheckResult } from '../../../operations/results.ts';
import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';
import { QUEUE_DETAILS, QUEUE_OPTION, queueJob } from '../../options/queued-job.ts';
import { DamageFound, KeyDoesNotFit } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '[--read-data] [--queue]',
  details: [
    'Checks headers and footers of all packs, all records, the audit log and, of the sets whose key is given,',
    'all manifests and what guests of sessions wrote (a set without it is reported as locked).',
    '--read-data     reads and checks every block as well',
    ...QUEUE_DETAILS,
    'Exit code 6 if anything is damaged, 4 if a key was given that opens no set.',
  ],
  options: { 'read-data': { type: 'boolean' }, ...QUEUE_OPTION },
  takes: [0, 0],
  async run(input, context) {
    const { output, call } = context;
    const request = { readData: input.flag('read-data') };
    if (input.flag('queue')) return queueJob({ kind: 'check', request }, context);
    const result = await call('store/check', request, { ask: 'never' });
    output.result(result, () => text(result));
    if (result.problems.length > 0) {
      const count = result.problems.length;
      const problems = count === 1 ? '1 problem' : `${count} problems`;
      throw new DamageFound(`${problems}: see above; docs/trust.md says what to do about each`);
    }
    if (result.wrongKey.length > 0) {
      throw new KeyDoesNotFit(
        'the key that was given opens no set: their manifests were not checked',
      );
    }
  },
};

const LOCKED =
  'its recovery points, and what guests of its sessions wrote, are checked only with its key (--passphrase-file)';

function text(result: CheckResult): string {
  const { packs, frames, bytes, points, locked, problems, plainSessions, strays } = result;
  const size = formatSize(bytes);
  return [
    `recovery points: ${points}; packs: ${packs} (${size}, ${frames} blocks and nodes)`,
    ...locked.map((set) => `set "${set}" is locked: ${LOCKED}`),
    ...problems.map(({ where, what }) => `DAMAGED ${where}: ${what}`),
    ...plainSessions.map(
      (id) => `session ${id}: written in plain text by an older version, until it ends`,
    ),
    ...strays.map((path) => `not a file of Holdfast, and not used: ${path}`),
    ...(problems.length === 0 ? [found(locked.length)] : []),
  ].join('\n');
}

function found(locked: number): string {
  return locked === 0
    ? 'No damage found.'
    : 'No damage found, as far as could be seen without keys.';
}
