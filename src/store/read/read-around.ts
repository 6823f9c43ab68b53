/**
 * Notices where a disk is read here and there, as a starting guest reads its libraries: the blocks of a segment lie
 * side by side in a pack, and one large read of the medium costs less than a few small ones.
 */
export interface ReadAround {
  /** A read met blocks of this segment that were not in memory. */
  missed(segment: number): WorthReading;
}

/** By the medium, in one: all of the segment, only what is wanted now, or nothing, for it was told before. */
export type WorthReading = 'segment' | 'wanted' | 'nothing';

/** Reads all over a large disk gain nothing: below this share of misses in segments known already, only these count. */
const LOCALITY_MIN = 1 / 8;
/** Weight of the newest miss. */
const WEIGHT = 1 / 64;
/** A disk that nobody has read yet may be that of a starting guest. */
const LOCALITY_AT_FIRST = 1 / 2;
/** Segments that are remembered, in 8 GiB of disk. */
const SEGMENTS_MAX = 8192;

export function readAround(): ReadAround {
  /** Segments with a miss; true: the rest was fetched. */
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
