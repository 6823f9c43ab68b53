import type { Clock } from '../../sys/base/clock.ts';

/** The time that a wrong guess costs: it doubles with each of one guesser, and begins again after a pause. */
export interface GrowingWaits {
  /** The wait after one more wrong guess of this guesser. */
  next(guesser: string): number;
  /** What is left of the wait after this guesser's last wrong guess. */
  left(guesser: string): number;
  /** The guesser was right. */
  forget(guesser: string): void;
}

const WAIT_MS = 250;
const WAIT_MS_MAX = 8000;
const FORGET_MS = 600_000;
const GUESSERS_MAX = 10_000;

export function growingWaits(clock: Clock): GrowingWaits {
  const tries = new Map<string, { count: number; atMs: number }>();
  const waitAfter = (count: number): number => Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** (count - 1));
  return {
    next(guesser) {
      const nowMs = clock.monotonicMs();
      const known = tries.get(guesser);
      const count = known && nowMs - known.atMs < FORGET_MS ? known.count + 1 : 1;
      tries.delete(guesser);
      tries.set(guesser, { count, atMs: nowMs });
      // Removes the one that was quiet for longest.
      if (tries.size > GUESSERS_MAX) tries.delete(tries.keys().next().value!);
      return waitAfter(count);
    },
    left(guesser) {
      const known = tries.get(guesser);
      if (!known) return 0;
      return Math.max(0, known.atMs + waitAfter(known.count) - clock.monotonicMs());
    },
    forget: (guesser) => void tries.delete(guesser),
  };
}
