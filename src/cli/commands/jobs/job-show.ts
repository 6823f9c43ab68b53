import type { Command } from '../../base/command.ts';
import { jobText } from '../../options/queued-job.ts';

export const command: Command = {
  usage: 'JOB',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const job = await call('job/show', { job: args[0]! });
    output.result(job, () => jobText(job));
  },
};
