import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '[--all]',
  details: ['The one that changed last comes first.', '  --all   also those that are over'],
  options: { all: { type: 'boolean' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const listing = await call('alarm/list', { all: input.flag('all') });
    output.result(listing, () =>
      table(
        ['ALARM', 'LEVEL', 'SINCE', 'STATE', ''],
        listing.alarms.map(({ alarm, level, raised, ended, acknowledged, message }) => [
          alarm,
          level,
          raised,
          ended !== null ? 'over' : acknowledged ? `acknowledged by ${acknowledged.uid}` : 'open',
          message,
        ]),
      ),
    );
  },
};
