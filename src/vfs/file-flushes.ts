import { type FlushRounds, flushRounds } from '../block/group-commit.ts';

/**
 * Tracks files with unflushed writes. Flushes of one file join, so that no caller is answered while another flush
 * still has its bytes under way; a failed one is final for its file (see `flushRounds`).
 */
export interface FileFlushes {
  /** Throws once a flush of the file has failed: it may no longer be written. */
  check(id: number): void;
  /** Notes a write, which the next flush makes durable. */
  wrote(id: number): void;
  /** Resolves once earlier writes are durable. */
  flush(id: number): Promise<void>;
  /** Flushes every written file, even if others fail; rejects with the first failure. */
  flushAll(): Promise<void>;
  /** The file is gone: drops its state. */
  forget(id: number): void;
}

interface Flushing {
  readonly rounds: FlushRounds;
  /** The number of unanswered callers; after a failure it never reaches zero, so that the entry stays. */
  waiting: number;
}

/** `work` makes the file's contents durable. */
export function fileFlushes(work: (id: number) => Promise<void>): FileFlushes {
  const dirty = new Set<number>();
  const flushing = new Map<number, Flushing>();

  function begin(id: number): Flushing {
    const rounds = flushRounds(async () => {
      // Before the work: writes in the meantime belong to the next round.
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
