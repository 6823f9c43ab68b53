import { formatSize } from '../../lib/sizes.ts';
import type { PointSummary } from '../../operations/nouns/backup.ts';
import { table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'backup/create'({ point, readBytes, storedBytes, scopes }, { changed }) {
    const sizes = `${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored`;
    const whole = scopes
      .filter(({ scope }) => changed !== undefined && scope === 'all')
      .map(({ disk, reason }) => `\nDisk ${disk} was read whole, because ${reason}`);
    return `Recovery point ${point} (${sizes})${whole.join('')}`;
  },
  'backup/list': {
    text: ({ points }) =>
      table(
        ['POINT', 'SET', 'MACHINE', 'CREATED', 'FROM', 'DISKS', 'STORED'],
        points.map(({ point, set, machine, created, origin, disks, storedBytes }) => [
          point,
          set,
          machine,
          created,
          origin,
          disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', '),
          formatSize(storedBytes),
        ]),
      ),
    say: ({ damaged }) => damaged.map(({ reason }) => `DAMAGED ${reason}`),
  },
  'backup/show': pointText,
  'backup/retain': ({ forgotten, inUse, future, kept }, { dryRun }) =>
    [
      ...forgotten.map((point) => `${dryRun ? 'would be forgotten' : 'forgotten'}  ${point}`),
      ...inUse.map((point) => `in use     ${point}`),
      ...future.map(
        (point) => `stays      ${point}: its date is in the future, so no rule counts it`,
      ),
      `${kept} stay`,
    ].join('\n'),
  'restore/disk'({ point, disk, to, format, writtenBytes }) {
    const written = formatSize(writtenBytes);
    return `Disk ${disk} of ${point} is in ${to}, ${format} (${written} written and verified)`;
  },
} satisfies Renders;

function pointText(point: PointSummary): string {
  const { set, machine, created, origin, parent, disks, readBytes, storedBytes } = point;
  return [
    `recovery point  ${point.point}`,
    `set             ${set}`,
    `machine         ${machine}`,
    `created         ${created}, from a ${origin}`,
    `based on        ${parent ?? 'nothing'}`,
    `read, stored    ${formatSize(readBytes)}, ${formatSize(storedBytes)}`,
    ...disks.map(
      ({ name, size, source }) => `disk            ${name} ${formatSize(size)} ${source}`,
    ),
  ].join('\n');
}
