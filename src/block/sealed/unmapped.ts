/**
 * Pages that are sealed into the log and that the map does not find there yet. A copy of what the map finds instead
 * would lie behind them in the log, and win when the log is opened again: the cleaner stays out of them. It takes as
 * long as the write to the file, never as long as a wait for space.
 */
export interface Unmapped {
  /** Called in the tick that sealed the pages; `work` ends once the map finds them, or once they are void. */
  during<T>(first: number, count: number, work: () => Promise<T>): Promise<T>;
  /** Resolves once `work` of some of these pages has ended; undefined: nothing of them is under way. */
  passing(first: number, count: number): Promise<void> | undefined;
}

interface Passing {
  readonly first: number;
  readonly end: number;
  readonly ended: Promise<unknown>;
}

export function unmappedPages(): Unmapped {
  const passing = new Set<Passing>();
  return {
    async during(first, count, work) {
      const ended = work();
      const mine = { first, end: first + count, ended };
      passing.add(mine);
      try {
        return await ended;
      } finally {
        passing.delete(mine);
      }
    },
    passing(first, count) {
      for (const it of passing) {
        if (it.first >= first + count || it.end <= first) continue;
        return it.ended.then(
          () => {},
          () => {},
        );
      }
      return undefined;
    },
  };
}
