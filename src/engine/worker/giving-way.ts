import type { Clock } from '../../sys/base/clock.ts';

/** Guests that have read or written nothing for so long leave the disk alone. */
const QUIET_MS = 50;
/** No guest keeps background work from going on for ever: a piece of 4 MiB a second is 10 TB a month. */
const WAIT_MAX_MS = 1000;

/** For work that asks before each piece: resolves at once while guests are quiet. */
export function givingWay(
  clock: Pick<Clock, 'sleep'>,
  guestBytes: () => number,
): () => Promise<void> {
  let seen = guestBytes();
  return async () => {
    for (let waitedMs = 0; waitedMs < WAIT_MAX_MS; waitedMs += QUIET_MS) {
      const now = guestBytes();
      if (now === seen) return;
      seen = now;
      await clock.sleep(QUIET_MS);
    }
  };
}
