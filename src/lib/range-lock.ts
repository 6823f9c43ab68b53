import { busyRanges } from './busy-ranges.ts';

/**
 * Turns over ranges of numbers: work on overlapping ranges runs one after the other, in the order in
 * which it was asked for; work on disjoint ranges runs side by side. Meant for some dozens at once.
 */
export interface RangeTurns {
  /** Begins a turn, whose end is the answer, unless one is under way or waiting anywhere in `first..first+count`. */
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
