import type { Clock } from '../../sys/base/clock.ts';

/**
 * While requests come in quick succession, the event loop polls for a moment instead of going to sleep: waking up
 * takes longer than answering. This costs a busy core while a client sends one request at a time as fast as it can,
 * and nothing otherwise.
 */
export interface StayAwake {
  /**
   * Call it when requests have arrived. Does not poll while they are under way: threads that work on them need the
   * processor.
   */
  arrived(isIdle: () => boolean): void;
}

/** Above this average gap the loop does not poll. */
const GAP_MAX_MS = 0.2;
const STAY_MS = 0.1;
/** Weight of the newest gap. A longer gap counts as `GAP_COUNTED_MAX_MS`. */
const WEIGHT = 0.1;
const GAP_COUNTED_MAX_MS = 2;

export function stayAwake(clock: Clock): StayAwake {
  let last = Number.NEGATIVE_INFINITY;
  let average = GAP_COUNTED_MAX_MS;
  let until = 0;
  let isPeerIdle = (): boolean => true;
  let isLooking = false;

  function look(): void {
    isLooking = isPeerIdle() && clock.monotonicMs() < until;
    if (isLooking) setImmediate(look);
  }
  return {
    arrived(isIdle) {
      isPeerIdle = isIdle;
      const now = clock.monotonicMs();
      const gap = Math.min(now - last, GAP_COUNTED_MAX_MS);
      last = now;
      average += (gap - average) * WEIGHT;
      if (average > GAP_MAX_MS) return;
      until = now + STAY_MS;
      if (isLooking) return;
      isLooking = true;
      setImmediate(look);
    },
  };
}
