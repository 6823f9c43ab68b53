import type { Place } from '../packs/trust.ts';

/** No two frames begin within so many bytes (a power of two): a header alone is longer. */
const PLACE_SHIFT = 6;

/** More levels than a tree has. */
const LEVELS = 8;

/**
 * Places in packs, as nodes of a level, at one bit for each 64 bytes of a pack that has any: a Map of numbers is
 * limited to 2^24 entries.
 */
export function markedPlaces() {
  const packs = new Map<number, Uint8Array>();
  return {
    has({ pack, offset }: Place, level: number): boolean {
      const at = offset >>> PLACE_SHIFT;
      return ((packs.get(pack * LEVELS + level)?.[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0;
    },
    add({ pack, offset }: Place, level: number): void {
      const at = offset >>> PLACE_SHIFT;
      const key = pack * LEVELS + level;
      let bits = packs.get(key) ?? new Uint8Array(0);
      if (bits.length <= at >>> 3) {
        const grown = new Uint8Array(2 * (at >>> 3) + 1);
        grown.set(bits);
        bits = grown;
        packs.set(key, bits);
      }
      bits[at >>> 3]! |= 1 << (at & 7);
    },
  };
}
