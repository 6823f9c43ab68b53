import type { Command } from '../../base/command.ts';
import { lockdownText } from '../../text/lockdown-text.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const state = await call('lockdown/show', {});
    output.result(state, () => lockdownText(state));
  },
};
