import { BlockError } from './block-error.ts';
import { blockError } from './file.ts';

/**
 * Joins flushes: what is asked for while a round runs shares the next one, since the running one may
 * have begun before the caller's write. A round that failed is final, unless the round itself knows better: the
 * kernel may have dropped the pages that it could not write, so that a later success would prove nothing.
 */
export interface FlushRounds {
  flush(): Promise<void>;
  /** Throws once a round has failed: then nothing may be written any more. */
  check(): void;
}

/** `isFinal`: asked after a round that failed. */
export function flushRounds(
  round: () => Promise<void>,
  isFinal: () => boolean = () => true,
): FlushRounds {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  let failure: unknown;

  function check(): void {
    if (failure === undefined) return;
    throw new BlockError('IO', 'an earlier flush failed: nothing more is written', {
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
      // Somebody waits for the next one: it is this one's until then, so that two never run at once.
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
