import type { Command } from '../../base/command.ts';
import { sshText } from '../../text/host-text.ts';

export const command: Command = {
  usage: '',
  details: ['Connections that are open stay open.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('ssh/off', {});
    output.result(shown, () => sshText(shown));
  },
};
