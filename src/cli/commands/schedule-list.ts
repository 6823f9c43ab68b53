import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('schedule/list', {});
    output.result(listing, () =>
      table(
        ['SCHEDULE', 'KIND', 'AT', 'NEXT'],
        listing.schedules.map(({ schedule, kind, at, next }) => [
          schedule,
          kind,
          at,
          next ?? 'never',
        ]),
      ),
    );
  },
};
