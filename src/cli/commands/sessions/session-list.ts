import { formatSize } from '../../../lib/sizes.ts';
import { sessionState } from '../../../client/session-state.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: [
    'STATE: "waits" is to run and cannot: "session show" says why. "not adopted": see "store adopt". "keeping" and',
    '"cleaning" were cut off: repeat "session keep" or "session discard". TAKES: space on the disk of the store.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('session/list', {});
    output.result(listing, () =>
      table(
        ['SESSION', 'STATE', 'POINT', 'CREATED', 'TAKES'],
        listing.sessions.map((it) => [
          it.session,
          sessionState(it),
          it.point,
          it.created,
          formatSize(it.takenBytes),
        ]),
      ),
    );
    for (const { reason } of listing.damaged) output.say(`DAMAGED ${reason}`);
  },
};
