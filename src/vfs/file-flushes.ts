import { type FlushRounds, flushRounds } from '../block/group-commit.ts';

/**
 * Which files were written and not flushed since. Flushes of one file join, so that nobody is answered while
 * another one's flush still has his bytes under way; one that failed is final for its file (see `flushRounds`).
 */
export interface FileFlushes {
  /** Throws once a flush of the file has failed: then it may not be written any more. */
  check(id: number): void;
  /** The next flush has something to do. */
  wrote(id: number): void;
  /** Resolves once what was written before is durable. */
  flush(id: number): Promise<void>;
  /** Every file that was written, whatever becomes of the others; rejects with the first failure. */
  flushAll(): Promise<void>;
  /** It is gone: nothing of it is to be kept. */
  forget(id: number): void;
}

interface Flushing {
  readonly rounds: FlushRounds;
  /** Who has not been answered; of a failed one it never comes to zero, so that it stays. */
  waiting: number;
}

/** `work` makes durable what the file holds. */
export function fileFlushes(work: (id: number) => Promise<void>): FileFlushes {
  const dirty = new Set<number>();
  const flushing = new Map<number, Flushing>();

  function begin(id: number): Flushing {
    const rounds = flushRounds(async () => {
      // Before the work: what is written meanwhile is for the next round.
      if (dirty.delete(id)) await work(id);
    });
    const its = { rounds, waiting: 0 };
    flushing.set(id, its);
    return its;
  }
  async function flush(id: number): Promise<void> {
    const its = flushing.get(id) ?? (dirty.has(id) ? begin(id) : undefined);
    if (!its) return;
    its.waiting++;
    await its.rounds.flush();
    its.waiting--;
    if (its.waiting === 0) flushing.delete(id);
  }
  return {
    check: (id) => flushing.get(id)?.rounds.check(),
    wrote: (id) => void dirty.add(id),
    flush,
    async flushAll() {
      const failures: unknown[] = [];
      for (const id of [...dirty]) await flush(id).catch((cause: unknown) => failures.push(cause));
      if (failures.length > 0) throw failures[0];
    },
    forget(id) {
      dirty.delete(id);
      flushing.delete(id);
    },
  };
}
