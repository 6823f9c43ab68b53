import { MiB } from '../../lib/sizes.ts';

/** Detects sequential reads, so that the next blocks can be decoded before they are requested. */
export interface ReadAhead {
  /** Notes a guest's read; returns the range that is worth fetching now, if any. */
  note(
    offset: number,
    length: number,
  ): { readonly offset: number; readonly length: number } | undefined;
}

interface Stream {
  next: number;
  /** Bytes read sequentially so far. */
  run: number;
  /** The end of the fetched range. */
  ahead: number;
}

/** A copy over several connections reads in a few places at once. */
const STREAMS = 4;
/** A shorter run counts as chance: guests often read a few neighbors. */
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
      // Fetched in halves of the window, so that not every request triggers a fetch.
      if (from > end + window / 2 || from >= size) return undefined;
      stream.ahead = Math.min(size, end + window);
      return { offset: from, length: stream.ahead - from };
    },
  };
}
