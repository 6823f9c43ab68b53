import type { Clock } from '../../sys/base/clock.ts';

/** The time that a wrong guess costs: it doubles with each of one guesser, and begins again after a pause. */
export interface GrowingWaits {
  /** The wait after one more wrong guess of this guesser. */
  next(guesser: string): number;
  /** The guesser was right. */
  forget(guesser: string): void;
}

const WAIT_MS = 250;
const WAIT_MS_MAX = 8000;
const FORGET_MS = 600_000;
const GUESSERS_MAX = 10_000;

export function growingWaits(clock: Clock): GrowingWaits {
  const tries = new Map<string, { count: number; atMs: number }>();
  return {
    next(guesser) {
      const nowMs = clock.monotonicMs();
      const known = tries.get(guesser);
      const count = known && nowMs - known.atMs < FORGET_MS ? known.count + 1 : 1;
      tries.delete(guesser);
      tries.set(guesser, { count, atMs: nowMs });
      // Removes the one that was quiet for longest.
      if (tries.size > GUESSERS_MAX) tries.delete(tries.keys().next().value!);
      return Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** (count - 1));
    },
    forget: (guesser) => void tries.delete(guesser),
  };
}
