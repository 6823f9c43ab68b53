import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: [
    'The forecast is a straight line through what the service noted of the disk in the last seven days, and',
    'wants one day at least. The saving is of the newest 300 recovery points: what was read of their machines',
    'against what of it was new, and stored compressed.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const shown = await call('store/usage', {});
    const { space, growth, saving } = shown;
    const { points, readBytes, storedBytes } = saving;
    output.result(shown, () =>
      [
        `space     ${formatSize(space.freeBytes)} free of ${formatSize(space.totalBytes)}`,
        `growth    ${growthText(growth)}`,
        `full      ${growth.fullAt ?? '-'}`,
        `saving    ${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored (recovery points: ${points})`,
      ].join('\n'),
    );
  },
};

function growthText({
  since,
  bytesPerDay,
}: {
  readonly since: string | null;
  readonly bytesPerDay: number | null;
}): string {
  if (bytesPerDay === null) {
    return since === null
      ? 'not known: only the service watches the disk'
      : `not known yet: the service has watched the disk since ${since}, and a day is needed`;
  }
  const size = formatSize(Math.abs(bytesPerDay));
  return bytesPerDay < 0 ? `${size} a day less` : `${size} a day`;
}
