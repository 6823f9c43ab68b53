import type { Clock } from '../sys/base/clock.ts';

/**
 * Decides whether a medium is quick enough to be used in the thread that serves guests: a call into the page cache
 * takes microseconds and beats any hand-over, but one that meets a busy disk would delay all guests.
 */
export interface SyncPace {
  mayBlock(): boolean;
  /** Runs a blocking call and learns from its duration. */
  timed<T>(call: () => T): T;
  /** Notes a blocking call that took from `began` until now. */
  note(began: number): void;
}

/** Longer than the page cache ever takes, and too short for a guest to notice. */
const SLOW_MS = 3;
/** A single slow call may be chance; the more in a row, the longer the pause before the next try. */
const REST_MIN_MS = 5;
const REST_MAX_MS = 500;

export function syncPace(clock: Clock): SyncPace {
  let restUntil = 0;
  let restMs = REST_MIN_MS;
  function note(began: number): void {
    const ended = clock.monotonicMs();
    if (ended - began <= SLOW_MS) {
      restUntil = 0;
      restMs = Math.max(REST_MIN_MS, restMs / 2);
      return;
    }
    restUntil = ended + restMs;
    restMs = Math.min(REST_MAX_MS, restMs * 2);
  }
  return {
    note,
    mayBlock: () => restUntil === 0 || clock.monotonicMs() >= restUntil,
    timed(call) {
      const began = clock.monotonicMs();
      try {
        return call();
      } finally {
        // A failing disk usually takes long to report it.
        note(began);
      }
    },
  };
}
