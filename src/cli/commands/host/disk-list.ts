import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: ['Their health comes from smartctl (apt-get install smartmontools).'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('disk/list', {});
    output.result(listing, () =>
      table(
        ['DISK', 'SIZE', 'MODEL', 'SERIAL', 'HOLDS', 'HEALTH'],
        listing.disks.map(({ name, size, model, serial, holds, health }) => [
          name,
          formatSize(size),
          model ?? '-',
          serial ?? '-',
          holds.join('; ') || 'nothing',
          `${health.state}: ${health.detail}`,
        ]),
      ),
    );
  },
};
