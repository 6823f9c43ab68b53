import { BlockError } from './block-error.ts';
import { blockError } from './file.ts';

/**
 * Joins flushes: requests that arrive during a round share the next one, since the running one may have begun before
 * the caller's write. A failed round is final, unless the round itself says otherwise: the kernel may have dropped
 * the pages that it could not write, so that a later success would prove nothing.
 */
export interface FlushRounds {
  flush(): Promise<void>;
  /** Throws once a round has failed: nothing may be written from then on. */
  check(): void;
}

/** `isFinal` is called after a round that failed. */
export function flushRounds(
  round: () => Promise<void>,
  isFinal: () => boolean = () => true,
): FlushRounds {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  let failure: unknown;

  function check(): void {
    if (failure === undefined) return;
    throw new BlockError('IO', 'an earlier flush failed: writing has stopped', {
      cause: failure,
    });
  }
  async function begin(): Promise<void> {
    check();
    try {
      await round();
    } catch (cause) {
      if (isFinal()) failure = cause;
      throw blockError(cause, 'flush');
    }
  }
  function start(): Promise<void> {
    const mine = begin().finally(() => {
      // If callers wait for the next round, `running` stays set until it begins, so that two never run at once.
      if (!next) running = undefined;
    });
    running = mine;
    return mine;
  }
  return {
    check,
    flush() {
      if (!running) return start();
      next ??= running
        .catch(() => {})
        .then(() => {
          next = undefined;
          return start();
        });
      return next;
    },
  };
}
