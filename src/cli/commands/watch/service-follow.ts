import type { Command } from '../../base/command.ts';

export const command: Command = {
  summary: 'Report events of sessions and jobs, and alarms, as they happen',
  about: ['The command runs until interrupted.'],
  args: [],
  options: [],
  examples: ['service follow', 'service follow --json'],
  async run(_input, { call, signal }) {
    try {
      await call('service/follow', {});
    } catch (cause) {
      // This is its normal end.
      if (!signal.aborted) throw cause;
    }
  },
};
