import { flag, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { secondsOf } from '../../options/durations.ts';
import { sshText } from '../../render/ssh.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: 'Allow a shell over SSH for some time',
  about: ['Allows "ssh -t admin@box shell". Each shell is logged.'],
  args: [],
  options: [option('for', 'TIME', '30m, 2h; at most a day'), flag('off', 'end it now')],
  examples: ['ssh shell --for 2h', 'ssh shell --off'],
  async run(input, { output, call }) {
    const time = input.text('for');
    if ((time === undefined) !== input.flag('off'))
      throw new UsageError('give --for TIME or --off');
    const shown = await call('ssh/shell', { seconds: time === undefined ? 0 : secondsOf(time) });
    output.result(shown, () => sshText(shown));
  },
};
