import { PAGE_LENGTH } from '../../../formats/store/sessions/overlay-log.ts';
import { formatSize } from '../../../lib/sizes.ts';

/** Pages of one slot: they have one seal, and are lost together. */
export interface SlotPages {
  readonly first: number;
  readonly count: number;
}

/** Describes the pages, with their offset on the disk as tools in the guest count it. */
export function damagedPages(
  { first, count }: SlotPages,
  { disk, path }: { readonly disk: string; readonly path: string },
): string {
  const bytes = `${formatSize(count * PAGE_LENGTH)} at byte ${first * PAGE_LENGTH}`;
  return count === 1
    ? `page ${first} of disk ${disk} (${bytes}) is damaged in ${path}`
    : `pages ${first} to ${first + count - 1} of disk ${disk} (${bytes}) are damaged in ${path}`;
}
