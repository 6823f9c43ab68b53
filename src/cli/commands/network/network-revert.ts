import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: ['Does so at once, without waiting for the time of an unconfirmed change to be up.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const done = await call('network/revert', {});
    output.result(done, () => `Rolled back: ${done.reverted}.`);
  },
};
