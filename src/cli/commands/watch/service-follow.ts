import type { Command } from '../../base/command.ts';

export const command: Command = {
  summary: 'Report what happens to sessions and jobs, and alarms, as it happens',
  about: ['Until interrupted.'],
  args: [],
  options: [],
  examples: ['service follow', 'service follow --json'],
  async run(_input, { call, signal }) {
    try {
      await call('service/follow', {});
    } catch (cause) {
      // That is how it is meant to end.
      if (!signal.aborted) throw cause;
    }
  },
};
