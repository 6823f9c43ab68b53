import { formatSize } from '../../../lib/sizes.ts';
import type { PointSummary } from '../../../operations/results.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'POINT',
  details: ['With the key of its set: what is shown is authentic.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const point = await call('backup/show', { point: args[0]! });
    output.result(point, () => text(point));
  },
};

function text(point: PointSummary): string {
  const { set, machine, created, origin, parent, disks, readBytes, storedBytes } = point;
  return [
    `recovery point  ${point.point}`,
    `set             ${set}`,
    `machine         ${machine}`,
    `created         ${created}, from a ${origin}`,
    `made over       ${parent ?? 'nothing'}`,
    `read, stored    ${formatSize(readBytes)}, ${formatSize(storedBytes)}`,
    ...disks.map(
      ({ name, size, source }) => `disk            ${name} ${formatSize(size)} ${source}`,
    ),
  ].join('\n');
}
