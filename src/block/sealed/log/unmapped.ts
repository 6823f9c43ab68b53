import { busyRanges } from '../../../lib/busy-ranges.ts';

/**
 * Pages that are sealed into the log and that the map does not find there yet. A copy of what the map finds instead
 * would lie behind them in the log, and win when the log is opened again: the cleaner stays out of them. It takes as
 * long as the write to the file, never as long as a wait for space.
 */
export interface Unmapped {
  /** Called in the tick that sealed the pages. The answer is called once the map finds them, or once they are void. */
  begin(first: number, count: number): () => void;
  /** As `begin`, until `work` ends. */
  during<T>(first: number, count: number, work: () => Promise<T>): Promise<T>;
  /** Resolves once the map knows what is on its way of these pages now; undefined: nothing is. */
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
