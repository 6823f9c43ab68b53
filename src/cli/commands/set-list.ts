import { sets } from '../../control/sets.ts';
import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, house }) {
    const list = await sets(await house());
    output.result({ sets: list }, () =>
      table(
        ['SET', 'CREATED', 'ENCRYPTED'],
        list.map(({ set, created, encrypted }) => [set, created, encrypted ? 'yes' : 'no']),
      ),
    );
  },
};
