import type { Clock } from '../sys/base/clock.ts';

/**
 * Whether a medium is quick enough to be used in the thread that serves guests: a call into the page
 * cache takes microseconds and beats any hand-over, but one that meets a busy disk would delay all.
 */
export interface SyncPace {
  mayBlock(): boolean;
  /** Runs a blocking call and learns from how long it took. */
  timed<T>(call: () => T): T;
  /** A blocking call took from `began` until now. */
  note(began: number): void;
}

/** Longer than the page cache ever takes, shorter than a guest notices. */
const SLOW_MS = 3;
/** A single slow call may be chance; the more of them in a row, the longer nothing is tried. */
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
        // A disk that fails mostly takes its time for it.
        note(began);
      }
    },
  };
}
