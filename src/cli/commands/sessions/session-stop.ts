import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: ['What its guests have written is kept; "session resume" continues it.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const done = await call('session/stop', { session: args[0]! });
    output.result(done, () => `Session ${done.session} is stopped.`);
  },
};
