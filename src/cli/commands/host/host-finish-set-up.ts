import type { Command } from '../../base/command.ts';
import { hostText } from '../../text/host-text.ts';

export const command: Command = {
  usage: '',
  details: [
    'Until then, the screen of a new machine lets anyone set it up, without a login. Refused while the',
    'administrator has no password.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('host/finish-set-up', {});
    output.result(shown, () => hostText(shown));
  },
};
