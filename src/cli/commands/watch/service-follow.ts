import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: ['Prints what happens to sessions and jobs, and alarms, until interrupted.'],
  options: {},
  takes: [0, 0],
  async run(_input, { call, signal }) {
    try {
      await call('service/follow', {});
    } catch (cause) {
      // That is how it is meant to end.
      if (!signal.aborted) throw cause;
    }
  },
};
