import type { Command } from '../../base/command.ts';
import { secondsOf } from '../../options/durations.ts';
import { sshText } from '../../text/host-text.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '--for TIME | --off',
  details: ['Allows "ssh -t admin@box shell" for 30m, 2h (at most a day). Each shell is logged.'],
  options: { for: { type: 'string' }, off: { type: 'boolean' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const time = input.text('for');
    if ((time === undefined) !== input.flag('off')) throw new UsageError('--for TIME or --off');
    const shown = await call('ssh/shell', { seconds: time === undefined ? 0 : secondsOf(time) });
    output.result(shown, () => sshText(shown));
  },
};
