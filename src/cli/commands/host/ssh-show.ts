import type { Command } from '../../base/command.ts';
import { sshText } from '../../text/host-text.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('ssh/show', {});
    output.result(shown, () => sshText(shown));
  },
};
