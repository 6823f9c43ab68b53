import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'JOB [--passphrase-file FILE]',
  details: [
    'Gives a job that waits the key of its backup set; without an option it is asked for. The service keeps it in',
    'memory: until the job has ended, or, where a schedule made the job, for the jobs of that schedule until the',
    'service ends.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const job = await call('job/unlock', { job: args[0]! });
    output.result(job, () => `Job ${job.job} has its key. "holdfast job attend ${job.job}"`);
  },
};
