import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'SCHEDULE',
  details: ['Jobs that it has made already go on.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const removed = await call('schedule/remove', { schedule: args[0]! });
    output.result(removed, () => `Schedule ${removed.schedule} is removed.`);
  },
};
