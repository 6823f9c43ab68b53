import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const { sets: list } = await call('set/list', {});
    output.result({ sets: list }, () =>
      table(
        ['SET', 'CREATED', 'ENCRYPTED'],
        list.map(({ set, created, encrypted }) => [set, created, encrypted ? 'yes' : 'no']),
      ),
    );
  },
};
