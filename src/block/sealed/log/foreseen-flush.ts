/**
 * Foresees flushes. A guest that makes each of its writes durable (the log of a database) waits for the answer to a
 * write before it requests the flush: a flush that begins with the answer is under way by then, and is shared.
 */
export interface ForeseenFlush {
  /** Call it when a guest's change begins. */
  begun(): void;
  /** Call it when one has ended, whether it failed or not. */
  ended(): void;
  /** A guest's flush: resolves once all changes that ended before it are durable. */
  flush(): Promise<void>;
}

/** After so many changes with a flush behind each, the next flush is foreseen. A wrong guess costs one sync. */
const SURE = 8;

export function foreseenFlush(flush: () => Promise<void>): ForeseenFlush {
  let underWay = 0;
  let inARow = 0;
  /** Whether all changes have ended, and neither a flush nor a change has come since. */
  let isAwaited = false;
  /** It began when all changes had ended, and none has begun since. */
  let foreseen: Promise<void> | undefined;

  function foresee(): void {
    if (!isAwaited || foreseen) return;
    foreseen = flush();
    // If the guest does not come for the failure, its next flush fails again.
    foreseen.catch(() => {});
  }
  return {
    begun() {
      if (isAwaited) inARow = 0;
      isAwaited = false;
      foreseen = undefined;
      underWay++;
    },
    ended() {
      if (--underWay > 0) return;
      isAwaited = true;
      // Behind the answer to the change, which goes out in a turn of the loop that was requested before this one.
      if (inARow >= SURE) setImmediate(foresee);
    },
    flush() {
      if (isAwaited) inARow++;
      isAwaited = false;
      const shared = foreseen ?? flush();
      foreseen = undefined;
      return shared;
    },
  };
}
