/**
 * Detects scattered reads, such as those of a starting guest that reads its libraries: the blocks of a segment lie
 * side by side in a pack, and one large read of the medium costs less than a few small ones.
 */
export interface ReadAround {
  /** Notes a read of blocks of this segment that were not in memory. */
  missed(segment: number): WorthReading;
}

/**
 * What the medium should read at once: the whole segment, only the requested blocks, or nothing, as it was announced
 * before.
 */
export type WorthReading = 'segment' | 'wanted' | 'nothing';

/**
 * Random reads all over a large disk gain nothing: below this share of misses in known segments, only those count.
 */
const LOCALITY_MIN = 1 / 8;
/** Weight of the newest miss. */
const WEIGHT = 1 / 64;
/** A disk that was not read yet may belong to a starting guest. */
const LOCALITY_AT_FIRST = 1 / 2;
/** Number of segments remembered: 8 GiB of disk. */
const SEGMENTS_MAX = 8192;

export function readAround(): ReadAround {
  /** Segments with a miss; true: the rest of the segment was fetched. */
  const segments = new Map<number, boolean>();
  let locality = LOCALITY_AT_FIRST;

  return {
    missed(segment) {
      const known = segments.get(segment);
      locality += ((known === undefined ? 0 : 1) - locality) * WEIGHT;
      if (known) return 'nothing';
      const isWorthIt = known === false || locality >= LOCALITY_MIN;
      segments.set(segment, isWorthIt);
      if (segments.size > SEGMENTS_MAX) {
        const [oldest] = segments.keys();
        segments.delete(oldest!);
      }
      return isWorthIt ? 'segment' : 'wanted';
    },
  };
}
