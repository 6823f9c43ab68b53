import { formatSize } from '../../lib/sizes.ts';
import { table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'disk/list': ({ disks }) =>
    table(
      ['DISK', 'SIZE', 'MODEL', 'SERIAL', 'HOLDS', 'HEALTH'],
      disks.map(({ name, size, model, serial, holds, health }) => [
        name,
        formatSize(size),
        model ?? '-',
        serial ?? '-',
        holds.join('; ') || 'nothing',
        `${health.state}: ${health.detail}`,
      ]),
    ),
} satisfies Renders;
