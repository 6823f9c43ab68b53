import type { Command } from '../../base/command.ts';
import { secondsOf } from '../../options/durations.ts';
import { sshText } from '../../text/host-text.ts';

export const command: Command = {
  usage: '[--for TIME]',
  details: [
    '--for TIME   30m, 4h, 2d: then off again, even if the machine was off in the meantime; default: until "ssh off"',
  ],
  options: { for: { type: 'string' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const time = input.text('for');
    const seconds = time === undefined ? undefined : secondsOf(time);
    const shown = await call('ssh/on', { seconds });
    output.result(shown, () => sshText(shown));
  },
};
