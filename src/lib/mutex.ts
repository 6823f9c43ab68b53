/** Runs one piece of work at a time, in the order of the calls; a failure reaches only its own caller. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

export function turns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
}

/** A mutex for each key. */
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

/** Runs at most `count` at a time, in the order of the calls; a failure reaches only its own caller. */
export function countedTurns(count: number): Turns {
  const waiting: (() => void)[] = [];
  let free = count;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      // The place goes to the next waiter at once, so that no later call overtakes it.
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
