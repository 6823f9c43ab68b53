import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: ['LAST: how its newest job ended, and when. "job list" shows the job.'],
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
