import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [
    "Makes what the session's disks hold a new recovery point and ends the session. Only what was written",
    'is read and stored.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const kept = await call('session/keep', { session: args[0]! });
    output.result(kept, () => `Session ${kept.session} is kept as recovery point ${kept.point}`);
  },
};
