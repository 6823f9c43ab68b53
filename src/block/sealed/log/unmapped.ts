import { busyRanges } from '../../../lib/busy-ranges.ts';

/**
 * Pages that are sealed into the log but not yet in the map. A copy of the older page that the map still has would
 * lie behind them in the log, and win when the log is opened again: so the cleaner leaves these pages alone. This
 * lasts as long as the write to the file, never as long as a wait for space.
 */
export interface Unmapped {
  /** Call it in the tick that sealed the pages, and the returned function once the map has them, or they are void. */
  begin(first: number, count: number): () => void;
  /** As `begin`, until `work` ends. */
  during<T>(first: number, count: number, work: () => Promise<T>): Promise<T>;
  /** Resolves once the map has all of these pages that are now on their way; undefined: none are. */
  passing(first: number, count: number): Promise<void> | undefined;
}

export function unmappedPages(): Unmapped {
  const { begin, ended } = busyRanges();
  return {
    begin,
    async during(first, count, work) {
      const end = begin(first, count);
      try {
        return await work();
      } finally {
        end();
      }
    },
    passing: ended,
  };
}
