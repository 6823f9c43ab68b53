import { firstFailure, kindOfFailure } from '../engine/base/failures.ts';
import { EXIT_CODES } from '../operations/failure.ts';
import type { Log } from './log.ts';

/** The exit code of `work`, with its failure in the log. */
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
