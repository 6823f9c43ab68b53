import { RETENTION_DETAILS, RETENTION_OPTIONS, retentionOf } from '../../options/backup-request.ts';
import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: 'SET [--machine MACHINE] --keep-... N [--dry-run]',
  details: [...RETENTION_DETAILS, '--dry-run          only says what would be forgotten'],
  options: {
    machine: { type: 'string' },
    'dry-run': { type: 'boolean' },
    ...RETENTION_OPTIONS,
  },
  takes: [1, 1],
  async run(input, { output, call }) {
    const retention = retentionOf(input);
    if (!retention) throw new UsageError('--keep-... is missing: what is to stay?');
    const dryRun = input.flag('dry-run');
    const [set] = input.args;
    const request = { set: set!, machine: input.text('machine'), retention, dryRun };
    const done = await call('backup/retain', request);
    output.result(done, () =>
      [
        ...done.forgotten.map(
          (point) => `${dryRun ? 'would be forgotten' : 'forgotten'}  ${point}`,
        ),
        ...done.inUse.map((point) => `in use     ${point}`),
        ...done.future.map(
          (point) => `stays      ${point}: its date is in the future, so no rule counts it`,
        ),
        `${done.kept} stay`,
      ].join('\n'),
    );
  },
};
