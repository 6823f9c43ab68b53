/**
 * Turns over ranges of numbers: work on overlapping ranges runs one after the other, in the order in
 * which it was asked for; work on disjoint ranges runs side by side. Meant for some dozens at once.
 */
export interface RangeTurns {
  /** Whether nothing is under way or waiting anywhere in `first..first+count`. */
  free(first: number, count: number): boolean;
  run<T>(first: number, count: number, work: () => Promise<T>): Promise<T>;
}

interface Turn {
  readonly first: number;
  readonly end: number;
  readonly ended: Promise<unknown>;
}

export function rangeTurns(): RangeTurns {
  const active = new Set<Turn>();
  function overlapping(first: number, count: number): Turn[] {
    return [...active].filter((turn) => turn.first < first + count && first < turn.end);
  }
  return {
    free: (first, count) => active.size === 0 || overlapping(first, count).length === 0,
    async run(first, count, work) {
      const before = overlapping(first, count).map((turn) => turn.ended);
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const turn: Turn = { first, end: first + count, ended };
      active.add(turn);
      try {
        if (before.length > 0) await Promise.all(before);
        return await work();
      } finally {
        active.delete(turn);
        end();
      }
    },
  };
}
