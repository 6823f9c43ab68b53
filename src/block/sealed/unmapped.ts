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
  /** Resolves once some of these pages are no longer on their way; undefined: none of them is. */
  passing(first: number, count: number): Promise<void> | undefined;
}

interface Passing {
  readonly first: number;
  readonly end: number;
  waiting: (() => void)[] | undefined;
}

export function unmappedPages(): Unmapped {
  const passing: Passing[] = [];
  function begin(first: number, count: number): () => void {
    const mine: Passing = { first, end: first + count, waiting: undefined };
    passing.push(mine);
    return () => {
      const at = passing.indexOf(mine);
      if (at < 0) return;
      passing.splice(at, 1);
      for (const go of mine.waiting ?? []) go();
    };
  }
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
    passing(first, count) {
      for (const it of passing) {
        if (it.first >= first + count || it.end <= first) continue;
        return new Promise((resolve) => (it.waiting ??= []).push(resolve));
      }
      return undefined;
    },
  };
}
