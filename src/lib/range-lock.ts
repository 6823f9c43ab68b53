import { busyRanges } from './busy-ranges.ts';

/**
 * Turns over ranges of numbers: work on overlapping ranges runs one after the other, in the order of the calls; work
 * on disjoint ranges runs side by side. Meant for a few dozen at once.
 */
export interface RangeTurns {
  /**
   * Begins a turn and returns the function that ends it; undefined: one is under way or waits somewhere in
   * `first..first+count`.
   */
  tryBegin(first: number, count: number): (() => void) | undefined;
  run<T>(first: number, count: number, work: () => Promise<T>): Promise<T>;
}

export function rangeTurns(): RangeTurns {
  const busy = busyRanges();
  return {
    tryBegin: (first, count) => (busy.isBusy(first, count) ? undefined : busy.begin(first, count)),
    async run(first, count, work) {
      const before = busy.ended(first, count);
      const end = busy.begin(first, count);
      try {
        if (before) await before;
        return await work();
      } finally {
        end();
      }
    },
  };
}
