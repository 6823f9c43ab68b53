import type { Command } from '../command.ts';
import { table } from '../output.ts';
import { progressText } from '../queued-job.ts';

export const command: Command = {
  usage: '',
  details: ['Newest first.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('job/list', {});
    output.result(listing, () =>
      table(
        ['JOB', 'STATE', 'CREATED', ''],
        listing.jobs.map(({ job, state, created, reason, progress }) => [
          job,
          state,
          created,
          progress ? progressText(progress) : (reason ?? ''),
        ]),
      ),
    );
  },
};
