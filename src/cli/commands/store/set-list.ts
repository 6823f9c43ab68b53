import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('set/list', {});
    output.result(listing, () =>
      table(
        ['SET', 'CREATED', 'ENCRYPTED'],
        listing.sets.map(({ set, created, encrypted }) => [set, created, encrypted ? 'yes' : 'no']),
      ),
    );
    for (const { problem } of listing.sets) if (problem !== null) output.say(`REFUSED ${problem}`);
    for (const { reason } of listing.damaged) output.say(`DAMAGED ${reason}`);
  },
};
