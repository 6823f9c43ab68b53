import type { Clock } from '../../src/sys/base/clock.ts';

/** Time that advances only on demand. */
export interface FakeClock extends Clock {
  /** Wakes all whose time has come, in order, and lets each do what it wants before the next. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock. */
  turn(ms: number): void;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export function fakeClock(start: string): FakeClock {
  const began = Date.parse(start);
  let now = began;
  let turned = 0;
  const sleepers = new Set<Sleeper>();
  return {
    now: () => new Date(now + turned),
    monotonicMs: () => now - began,
    sinceBootMs: () => now - began,
    turn: (ms) => void (turned += ms),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper: Sleeper = { at: now + ms, wake: resolve };
        sleepers.add(sleeper);
        const leave = (): void => {
          sleepers.delete(sleeper);
          reject(signal!.reason as Error);
        };
        if (signal?.aborted) leave();
        else signal?.addEventListener('abort', leave, { once: true });
      }),
    async advance(ms) {
      const until = now + ms;
      await idle();
      for (;;) {
        const due = [...sleepers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        now = Math.max(now, due.at);
        sleepers.delete(due);
        due.wake();
        await idle();
      }
      now = until;
      await idle();
    },
  };
}

/** Until all that needs no time is done. */
async function idle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}
