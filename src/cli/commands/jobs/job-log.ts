import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'JOB',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const log = await call('job/log', { job: args[0]!, first: 0 });
    output.result(log, () =>
      log.lines.map(({ time, message }) => `${time}  ${message}`).join('\n'),
    );
  },
};
