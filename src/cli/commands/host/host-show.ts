import { hostText } from '../../text/host-text.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('host/show', {});
    output.result(shown, () => hostText(shown));
  },
};
