import type { Command } from '../command.ts';
import { sshText } from '../host-text.ts';

export const command: Command = {
  usage: '',
  details: ['Nobody comes in any more; who is in stays in.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('ssh/off', {});
    output.result(shown, () => sshText(shown));
  },
};
