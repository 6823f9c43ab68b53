import type { Command } from '../../base/command.ts';
import { hostText } from '../../text/host-text.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '[--hostname NAME] [--timezone ZONE] [--ntp SERVER ...] [--keyboard LAYOUT]',
  details: [
    'Settings that are not named stay as they are.',
    '--timezone ZONE     as Europe/Berlin; "timedatectl list-timezones" has them all',
    '--ntp SERVER        time servers, any number of them; --ntp none: those that Debian comes with',
    '--keyboard LAYOUT   of the screen: us, gb, de, ch, fr ...',
  ],
  options: {
    hostname: { type: 'string' },
    timezone: { type: 'string' },
    ntp: { type: 'string', multiple: true },
    keyboard: { type: 'string' },
  },
  takes: [0, 0],
  async run(input, { output, call }) {
    const servers = input.has('ntp') ? input.texts('ntp') : undefined;
    const change = {
      hostname: input.text('hostname'),
      timezone: input.text('timezone'),
      ntp: servers?.join() === 'none' ? [] : servers,
      keyboard: input.text('keyboard'),
    };
    if (Object.values(change).every((it) => it === undefined)) {
      throw new UsageError('what is to be set? See "holdfast host set --help"');
    }
    const shown = await call('host/set', change);
    output.result(shown, () => hostText(shown));
  },
};
