import type { Command } from '../command.ts';

const ALARMS_MAX = 100;

export const command: Command = {
  usage: 'ALARM ...',
  details: [
    'An alarm whose reason is there goes on standing, and is not told of again unless it gets worse; one that tells of',
    'something that has happened is over with it. Acknowledging "clock-jump" allows deletions again.',
  ],
  options: {},
  takes: [1, ALARMS_MAX],
  async run({ args }, { output, call }) {
    for (const alarm of args) {
      const done = await call('alarm/acknowledge', { alarm });
      output.result(done, () => `${alarm} is ${done.ended === null ? 'acknowledged' : 'over'}`);
    }
  },
};
