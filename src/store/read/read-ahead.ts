import { MiB } from '../../lib/sizes.ts';

/** Notices disks that are read in order, so that what comes next can be decoded before it is asked for. */
export interface ReadAhead {
  /** A read of a guest; returns the range that is worth fetching now, if any. */
  note(
    offset: number,
    length: number,
  ): { readonly offset: number; readonly length: number } | undefined;
}

interface Stream {
  next: number;
  /** Bytes read in order so far. */
  run: number;
  /** Up to where was fetched. */
  ahead: number;
}

/** A copy through several connections reads a few places at once. */
const STREAMS = 4;
/** Less is taken for chance: a guest often reads a few neighbours. */
const RUN_MIN = MiB;
/** With 8 a read of 32 MiB takes more than 64 MiB of memory; with 4 a cold copy is 7 % slower. */
const WINDOW_MAX = 6 * MiB;

export function readAhead(size: number): ReadAhead {
  const streams: Stream[] = Array.from({ length: STREAMS }, () => ({ next: -1, run: 0, ahead: 0 }));
  let victim = 0;
  return {
    note(offset, length) {
      const end = offset + length;
      const stream = streams.find(({ next }) => next === offset);
      if (!stream) {
        victim = (victim + 1) % STREAMS;
        streams[victim] = { next: end, run: length, ahead: end };
        return undefined;
      }
      stream.next = end;
      stream.run += length;
      if (stream.run < RUN_MIN) return undefined;
      const window = Math.min(WINDOW_MAX, stream.run);
      const from = Math.max(end, stream.ahead);
      // Fetched in halves of the window, so that it is not asked for with every request.
      if (from > end + window / 2 || from >= size) return undefined;
      stream.ahead = Math.min(size, end + window);
      return { offset: from, length: stream.ahead - from };
    },
  };
}
