import type { Command } from '../command.ts';
import { lockdownText } from '../lockdown-text.ts';

export const command: Command = {
  usage: '',
  details: [
    'Where the settings ask for two people, another user has to say the same within an hour.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const state = await call('lockdown/off', {});
    output.result(state, () => lockdownText(state));
  },
};
