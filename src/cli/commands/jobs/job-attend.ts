import type { Command } from '../../base/command.ts';
import { jobText } from '../../options/queued-job.ts';
import { JobFailed } from '../../base/command-errors.ts';

export const command: Command = {
  usage: 'JOB',
  details: [
    'Shows its progress until it has ended; Ctrl-C only ends the watching. Exit code 1 if the job failed.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const job = await call('job/attend', { job: args[0]! });
    output.result(job, () => jobText(job));
    if (job.state === 'done') return;
    throw new JobFailed(`job ${job.job} ${job.state === 'failed' ? 'has failed' : 'was canceled'}`);
  },
};
