import type { Command } from '../../base/command.ts';
import { lockdownText } from '../../text/lockdown-text.ts';

export const command: Command = {
  usage: '',
  details: [
    'Allows only what a recovery needs: to look, sessions, restores, checks. Nothing is forgotten; schedules go on',
    'with their backups. To end it: "lockdown off", by two different users if the settings say so.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const state = await call('lockdown/on', {});
    output.result(state, () => lockdownText(state));
  },
};
