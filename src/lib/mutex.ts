/** One at a time, in the order in which they were asked for; a failure is its own caller's only. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

export function turns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
}

/** Turns of each key by itself. */
export function keyedTurns(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const lasts = new Map<string, Promise<void>>();
  return (key, work) => {
    const before = lasts.get(key) ?? Promise.resolve();
    const mine = before.then(work);
    const over: Promise<void> = mine
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (lasts.get(key) === over) lasts.delete(key);
      });
    lasts.set(key, over);
    return mine;
  };
}

/** At most `count` at a time, in the order in which they were asked for; a failure is its own caller's only. */
export function countedTurns(count: number): Turns {
  const waiting: (() => void)[] = [];
  let free = count;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      // Whoever waits has this one's place at once: nobody who comes now is before him.
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
