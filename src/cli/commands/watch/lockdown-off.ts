import type { Command } from '../../base/command.ts';
import { lockdownText } from '../../text/lockdown-text.ts';

export const command: Command = {
  usage: '',
  details: [
    'If the settings ask for two persons, another user has to give this command too, within an hour.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const state = await call('lockdown/off', {});
    output.result(state, () => lockdownText(state));
  },
};
