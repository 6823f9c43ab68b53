/**
 * Turns over ranges of numbers: work on overlapping ranges runs one after the other, in the order in
 * which it was asked for; work on disjoint ranges runs side by side. Meant for some dozens at once.
 */
export interface RangeTurns {
  /** Begins a turn, whose end is the answer, unless one is under way or waiting anywhere in `first..first+count`. */
  tryBegin(first: number, count: number): (() => void) | undefined;
  run<T>(first: number, count: number, work: () => Promise<T>): Promise<T>;
}

interface Turn {
  readonly first: number;
  readonly end: number;
  /** Those who wait for its end; most turns end without any. */
  waiting: (() => void)[] | undefined;
}

export function rangeTurns(): RangeTurns {
  const active: Turn[] = [];
  function overlapping(first: number, count: number): Turn[] {
    return active.filter((turn) => turn.first < first + count && first < turn.end);
  }
  function begin(first: number, count: number): Turn {
    const turn: Turn = { first, end: first + count, waiting: undefined };
    active.push(turn);
    return turn;
  }
  function end(turn: Turn): void {
    active.splice(active.indexOf(turn), 1);
    for (const go of turn.waiting ?? []) go();
  }
  return {
    tryBegin(first, count) {
      for (const turn of active)
        if (turn.first < first + count && first < turn.end) return undefined;
      const turn = begin(first, count);
      return () => end(turn);
    },
    async run(first, count, work) {
      const before = overlapping(first, count);
      const turn = begin(first, count);
      try {
        if (before.length > 0) await Promise.all(before.map(ended));
        return await work();
      } finally {
        end(turn);
      }
    },
  };
}

function ended(turn: Turn): Promise<void> {
  return new Promise((resolve) => (turn.waiting ??= []).push(resolve));
}
