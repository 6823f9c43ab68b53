import { formatSize } from '../../lib/sizes.ts';
import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('session/list', {});
    output.result(listing, () =>
      table(
        ['SESSION', 'STATE', 'POINT', 'CREATED', 'TAKES'],
        listing.sessions.map(
          ({ session, state, waits, adopted, holder, point, created, takenBytes }) => [
            session,
            waits !== null ? 'waits' : adopted || holder !== null ? state : 'not adopted',
            point,
            created,
            formatSize(takenBytes),
          ],
        ),
      ),
    );
    for (const { reason } of listing.damaged) output.say(`DAMAGED ${reason}`);
  },
};
