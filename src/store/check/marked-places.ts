import { type Bits, bits } from '../packs/bits.ts';
import { PLACE_SHIFT, type Place } from '../packs/trust.ts';

/** More levels than a tree has. */
const LEVELS = 8;

/**
 * Places in packs, as nodes of a level, at one bit for each 64 bytes of a pack that has any: a Map of numbers is
 * limited to 2^24 entries.
 */
export function markedPlaces() {
  const packs = new Map<number, Bits>();
  return {
    has: ({ pack, offset }: Place, level: number): boolean =>
      packs.get(pack * LEVELS + level)?.has(offset >>> PLACE_SHIFT) ?? false,
    add({ pack, offset }: Place, level: number): void {
      const key = pack * LEVELS + level;
      const of = packs.get(key) ?? bits();
      of.add(offset >>> PLACE_SHIFT);
      packs.set(key, of);
    },
  };
}
