import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: ['LAST is how the newest of its jobs has ended, and when: "job list" names it.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('schedule/list', {});
    output.result(listing, () =>
      table(
        ['SCHEDULE', 'KIND', 'AT', 'NEXT', 'LAST'],
        listing.schedules.map(({ schedule, kind, at, next, last, adopted }) => [
          schedule,
          kind,
          at,
          adopted ? (next ?? 'never') : 'not adopted',
          last === null ? '-' : `${last.state} ${last.ended}`,
        ]),
      ),
    );
  },
};
