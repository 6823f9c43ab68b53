import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: ['Older events are in the journal: journalctl HOLDFAST_SESSION=SESSION.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const log = await call('session/log', { session: args[0]!, first: 0 });
    output.result(log, () =>
      log.lines.map(({ time, message }) => `${time}  ${message}`).join('\n'),
    );
  },
};
