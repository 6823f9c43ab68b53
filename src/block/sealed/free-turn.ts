import type { RangeTurns } from '../../lib/range-turns.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';

/** Most requests take less than that. */
const LOOKS = 20;

/**
 * Runs `work` in the turn of some pages, if that comes soon. The cleaner must not wait for a write that waits for the
 * space that the cleaner makes. Answers whether it ran.
 */
export async function freeTurn(
  turns: RangeTurns,
  first: number,
  count: number,
  work: () => Promise<void>,
): Promise<boolean> {
  for (let look = 0; look < LOOKS; look++) {
    if (turns.free(first, count)) {
      await turns.run(first, count, work);
      return true;
    }
    await turnOfLoop();
  }
  return false;
}
