import { argument } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  summary: 'Acknowledge an alarm',
  about: [
    'While its cause lasts, an acknowledged alarm stays, and is reported again only if it gets worse. An ' +
      'alarm about an event that has passed ends once it is acknowledged. Acknowledging "clock-jump" allows' +
      ' deletions again.',
  ],
  args: [argument('ALARM', 'as "alarm list" shows it', { kind: 'list' })],
  options: [],
  examples: ['alarm acknowledge pool-space'],
  async run({ args }, { output, call }) {
    for (const alarm of args) {
      const done = await call('alarm/acknowledge', { alarm });
      output.result(done, () => `${alarm} is ${done.ended === null ? 'acknowledged' : 'ended'}`);
    }
  },
};
