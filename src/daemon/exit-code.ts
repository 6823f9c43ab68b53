import { firstFailure, kindOfFailure } from '../engine/base/failures.ts';
import { EXIT_CODES } from '../operations/base/failure.ts';
import type { Log } from './log.ts';

/** Runs `work` and returns its exit code; logs its failure. */
export async function exitCodeOf(log: Log, work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    const cause = firstFailure(error);
    const kind = kindOfFailure(cause);
    if (kind === undefined) throw cause;
    log('error', (cause as Error).message);
    return EXIT_CODES[kind];
  }
}
