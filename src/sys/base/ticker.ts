import type { Clock } from './clock.ts';

/** Runs `look` again and again: after the time that it asks for, and whenever it is woken. */
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
      // Before it looks: a wake-up in the meantime must not be slept through.
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
