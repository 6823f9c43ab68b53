import { sessions } from '../../control/sessions.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, house }) {
    const list = await sessions(await house());
    output.result({ sessions: list }, () =>
      table(
        ['SESSION', 'STATE', 'POINT', 'CREATED', 'WRITTEN'],
        list.map(({ session, state, point, created, takenBytes }) => [
          session,
          state,
          point,
          created,
          formatSize(takenBytes),
        ]),
      ),
    );
  },
};
