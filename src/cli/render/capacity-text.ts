import { formatSize } from '../../lib/sizes.ts';
import type { CapacityFigure } from '../../operations/nouns/verify.ts';

/* How many machines a box carries, in words. */

const LIMITS = {
  memory: 'there was no memory for more',
  boot: 'more did not come up, or came up too slowly',
  reads: 'more had to wait too long for their disks',
  asked: 'more were not tried',
} as const;

/** A sentence. */
export function capacityText(figure: CapacityFigure | null): string {
  if (!figure) {
    return 'How many machines this box carries at once was not measured yet: "holdfast verify measure POINT"';
  }
  const { carries, limit, machine, memoryBytes, measured, steps } = figure;
  const last = steps.findLast(({ clones, up }) => up === clones && clones <= carries);
  const took = last
    ? `, up after ${(last.bootMs / 1000).toFixed(1)} s, 99 of 100 reads within ${(last.readP99Us / 1000).toFixed(1)} ms`
    : '';
  const what = `${carries} ${carries === 1 ? 'clone' : 'clones'} of ${machine} with ${formatSize(memoryBytes)}`;
  return `This box carries ${what} at once${took} (${LIMITS[limit]}; measured ${measured.slice(0, 10)})`;
}
