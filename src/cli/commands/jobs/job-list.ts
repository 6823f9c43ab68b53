import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';
import { progressText } from '../../options/queued-job.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '[--last N] [--active]',
  details: [
    'Newest first. --last N: only the newest so many, at most 500; --active: only those that wait or run.',
  ],
  options: { last: { type: 'string' }, active: { type: 'boolean' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const last = input.text('last');
    const count = last === undefined ? undefined : Number(last);
    if (count !== undefined && !(Number.isSafeInteger(count) && count >= 1 && count <= 500)) {
      throw new UsageError('--last: a number from 1 to 500');
    }
    const listing = await call('job/list', { first: 0, count, active: input.flag('active') });
    output.result(listing, () =>
      table(
        ['JOB', 'STATE', 'CREATED', ''],
        listing.jobs.map(({ job, state, created, reason, progress, adopted }) => [
          job,
          adopted ? state : 'not adopted',
          created,
          progress ? progressText(progress) : (reason ?? ''),
        ]),
      ),
    );
  },
};
