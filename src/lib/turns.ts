/**
 * One turn at a time for each key: what is checked at the start of a turn still holds at its end.
 * Keys that nobody waits for cost nothing.
 */
export interface Turns<Key> {
  /** Runs `work` after every earlier turn of `key` has ended, whether that one failed or not. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T>;
  /** Whether a turn of `key` is under way or waiting. */
  busy(key: Key): boolean;
}

export function turns<Key>(): Turns<Key> {
  const last = new Map<Key, Promise<unknown>>();
  return {
    async run<T>(key: Key, work: () => Promise<T>): Promise<T> {
      const previous = last.get(key);
      const mine = previous ? previous.then(work, work) : work();
      const settled = mine.then(
        () => {},
        () => {},
      );
      last.set(key, settled);
      try {
        return await mine;
      } finally {
        if (last.get(key) === settled) last.delete(key);
      }
    },
    busy: (key) => last.has(key),
  };
}
