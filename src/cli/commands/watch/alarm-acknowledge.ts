import type { Command } from '../../base/command.ts';

const ALARMS_MAX = 100;

export const command: Command = {
  usage: 'ALARM ...',
  details: [
    'While its cause lasts, an acknowledged alarm stays, and is reported again only if it gets worse. An alarm about',
    'an event that has passed is over once acknowledged. Acknowledging "clock-jump" allows deletions again.',
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
