import { option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { hostText } from '../../render/host.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: 'Set name, time zone, time servers and keyboard',
  about: ['Other settings do not change.'],
  args: [],
  options: [
    option('hostname', 'NAME', 'name of the host'),
    option('timezone', 'ZONE', 'such as Europe/Berlin: see "timedatectl list-timezones"'),
    option('ntp', 'SERVER', 'a time server; none: those that Debian comes with', { kind: 'list' }),
    option('keyboard', 'LAYOUT', 'keyboard layout of the screen: us, gb, de, ch, fr ...'),
  ],
  examples: ['host set --hostname box7 --timezone Europe/Berlin'],
  async run(input, { output, call }) {
    const servers = input.has('ntp') ? input.texts('ntp') : undefined;
    const change = {
      hostname: input.text('hostname'),
      timezone: input.text('timezone'),
      ntp: servers?.join() === 'none' ? [] : servers,
      keyboard: input.text('keyboard'),
    };
    if (Object.values(change).every((it) => it === undefined)) {
      throw new UsageError('what should be set? See "holdfast host set --help"');
    }
    const shown = await call('host/set', change);
    output.result(shown, () => hostText(shown));
  },
};
