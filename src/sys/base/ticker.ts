import type { Clock } from './clock.ts';

/** Calls `look` repeatedly: after the time that `look` returned, and after each `wake`. */
export interface Ticker extends AsyncDisposable {
  start(): void;
  wake(): void;
}

/** `look` returns the milliseconds until the next look. Disposing waits for the look under way. */
export function ticker(clock: Clock, look: () => number | Promise<number>): Ticker {
  const closing = new AbortController();
  let tick = Promise.withResolvers<void>();
  let loop: Promise<void> | undefined;
  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      // Renewed before looking, so that a wake-up in the meantime is not lost.
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
