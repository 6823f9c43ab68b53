import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: ['What happened to it since the service was started.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const log = await call('session/log', { session: args[0]!, first: 0 });
    output.result(log, () =>
      log.lines.map(({ time, message }) => `${time}  ${message}`).join('\n'),
    );
  },
};
