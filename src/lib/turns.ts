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
