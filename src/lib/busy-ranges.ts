/** Ranges of numbers in which work is under way. Meant for a few dozen at once. */
export interface BusyRanges {
  /** Work is under way in `first..first+count` until the returned function is called. */
  begin(first: number, count: number): () => void;
  isBusy(first: number, count: number): boolean;
  /** Resolves once all work that is now under way there has ended; undefined: there is none. */
  ended(first: number, count: number): Promise<void> | undefined;
}

interface Busy {
  readonly first: number;
  readonly end: number;
  /** Callers that wait for its end; most ranges end without any. */
  waiting: (() => void)[] | undefined;
}

export function busyRanges(): BusyRanges {
  // An array: a set that changes with each request takes longer to search.
  const all: Busy[] = [];

  return {
    begin(first, count) {
      const mine: Busy = { first, end: first + count, waiting: undefined };
      all.push(mine);
      return () => {
        const at = all.indexOf(mine);
        if (at < 0) return;
        all.splice(at, 1);
        for (const go of mine.waiting ?? []) go();
      };
    },
    isBusy: (first, count) => all.some((it) => overlaps(it, first, count)),
    ended(first, count) {
      const these = all.filter((it) => overlaps(it, first, count));
      return these.length > 0 ? allOver(these) : undefined;
    },
  };
}

function overlaps({ first, end }: Busy, from: number, count: number): boolean {
  return first < from + count && from < end;
}

async function allOver(these: readonly Busy[]): Promise<void> {
  await Promise.all(these.map(endOf));
}

function endOf(busy: Busy): Promise<void> {
  return new Promise((resolve) => (busy.waiting ??= []).push(resolve));
}
