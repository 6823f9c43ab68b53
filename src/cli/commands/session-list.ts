import { formatSize } from '../../lib/sizes.ts';
import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const { sessions: list } = await call('session/list', {});
    output.result({ sessions: list }, () =>
      table(
        ['SESSION', 'STATE', 'POINT', 'CREATED', 'WRITTEN'],
        list.map(({ session, state, waits, point, created, takenBytes }) => [
          session,
          waits === null ? state : 'waits',
          point,
          created,
          formatSize(takenBytes),
        ]),
      ),
    );
  },
};
