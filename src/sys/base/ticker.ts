import type { Clock } from './clock.ts';

/** Looks again and again for what there is to do: when it was said to, and whenever it is woken. */
export interface Ticker extends AsyncDisposable {
  start(): void;
  wake(): void;
}

/** `look` answers after how many milliseconds to look again. Disposing waits for the look under way. */
export function ticker(clock: Clock, look: () => number | Promise<number>): Ticker {
  const closing = new AbortController();
  let tick = Promise.withResolvers<void>();
  let loop: Promise<void> | undefined;
  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      // Before it looks: what comes meanwhile is not to be slept over.
      tick = Promise.withResolvers();
      const sleeping = new AbortController();
      const slept = clock.sleep(await look(), sleeping.signal).catch(() => {});
      await Promise.race([slept, tick.promise]);
      sleeping.abort();
      await slept;
    }
  }
  return {
    start: () => void (loop ??= run()),
    wake: () => tick.resolve(),
    async [Symbol.asyncDispose]() {
      closing.abort();
      tick.resolve();
      await loop;
    },
  };
}
