import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [
    'The recovery point stays as it is. Works also for a session that is too damaged to run.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const session = args[0]!;
    const done = await call('session/discard', { session });
    output.result(done, () => `Session ${session} is discarded.`);
  },
};
