import type { Location } from '../../formats/store/packs/node.ts';

/**
 * Which places from an index, a parent's leaf or a mark may be referred to again. Made when a writer opens the store;
 * encode threads share the memory.
 */
export interface TrustData {
  /** One bit per pack: it exists, has the size at which it was sealed, and has no known damage. */
  readonly sound: Uint8Array;
  /** Packs from this number on are this writer's own. */
  readonly firstNew: number;
  /** `locationKey` of frames in sound packs that are damaged, or were stored again elsewhere. */
  readonly distrusted: SortedKeys;
}

/** Ascending, in shared memory. */
export type SortedKeys = Float64Array;

/** The present or former place of a frame. */
export type Place = Pick<Location, 'pack' | 'offset'>;

export interface Trust {
  /** Whether a place from a leaf or a mark is good: it existed before this writer. */
  isGood(place: Place): boolean;
  /** Whether a place from the index is good: it may also be one of this writer's own. */
  isKnown(place: Place): boolean;
}

/** Offsets in a pack stay below this: 64 MiB plus one frame. */
export const PACK_SPAN = 2 ** 27;

/** No two frames begin within so many bytes (a power of two): a header alone is longer. */
export const PLACE_SHIFT = 6;

/** One safe integer for a place in the store. */
export function locationKey({ pack, offset }: Place): number {
  return pack * PACK_SPAN + offset;
}

export function trustData(
  sound: readonly number[],
  firstNew: number,
  distrusted: SortedKeys,
): TrustData {
  const bits = new Uint8Array(new SharedArrayBuffer(Math.ceil(firstNew / 8)));
  for (const pack of sound) bits[pack >> 3]! |= 1 << (pack & 7);
  return { sound: bits, firstNew, distrusted };
}

export function sortedKeys(keys: readonly number[]): SortedKeys {
  const sorted = new Float64Array(
    new SharedArrayBuffer(keys.length * Float64Array.BYTES_PER_ELEMENT),
  );
  sorted.set(keys);
  return sorted.sort();
}

export function hasKey(sorted: SortedKeys, key: number): boolean {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (sorted[middle]! < key) from = middle + 1;
    else to = middle;
  }
  return sorted[from] === key;
}

export function trustOf({ sound, firstNew, distrusted }: TrustData): Trust {
  function isGood(place: Place): boolean {
    const { pack } = place;
    const isSound = pack < firstNew && (sound[pack >> 3]! & (1 << (pack & 7))) !== 0;
    return isSound && !hasKey(distrusted, locationKey(place));
  }
  return { isGood, isKnown: (place) => place.pack >= firstNew || isGood(place) };
}
