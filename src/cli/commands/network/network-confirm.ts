import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: ['Keeps the change that waits for it.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const done = await call('network/confirm', {});
    output.result(done, () => `Kept: ${done.confirmed}.`);
  },
};
