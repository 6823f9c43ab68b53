import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '[SET] [--machine MACHINE]',
  details: ['Needs no key. Oldest first.'],
  options: { machine: { type: 'string' } },
  takes: [0, 1],
  async run(input, { output, call }) {
    const listing = await call('backup/list', {
      set: input.args[0],
      machine: input.text('machine'),
    });
    output.result(listing, () =>
      table(
        ['POINT', 'SET', 'MACHINE', 'CREATED', 'FROM', 'DISKS', 'STORED'],
        listing.points.map(({ point, set, machine, created, origin, disks, storedBytes }) => [
          point,
          set,
          machine,
          created,
          origin,
          disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', '),
          formatSize(storedBytes),
        ]),
      ),
    );
    for (const { reason } of listing.damaged) output.say(`DAMAGED ${reason}`);
  },
};
