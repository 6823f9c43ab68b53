import { formatSize } from '../lib/sizes.ts';
import type { PlacedMachine } from '../operations/nouns/placed.ts';

const PLACES = {
  ours: 'served from here',
  target: 'has moved',
  elsewhere: 'was moved by hand',
} as const;

/** Where a disk of a session's machine is, and how much of it was copied. */
export function placedDiskText({
  place,
  done,
  total,
  rate,
}: PlacedMachine['disks'][number]): string {
  const words = place === null ? 'not known yet' : PLACES[place];
  if (done === null || total === null || place === 'target') return words;
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  const speed = rate === null ? '' : `, ${formatSize(rate)}/s`;
  return `${words}, ${percent} % copied${speed}`;
}
