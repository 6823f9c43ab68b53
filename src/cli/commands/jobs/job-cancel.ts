import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'JOB',
  details: ['A job that runs ends soon after; "job attend" waits for that.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const job = await call('job/cancel', { job: args[0]! });
    output.result(
      job,
      () => `Job ${job.job} is ${job.state === 'running' ? 'ending' : job.state}.`,
    );
  },
};
