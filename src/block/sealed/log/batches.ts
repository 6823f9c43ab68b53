import { PLACE_LENGTH } from '../../../formats/store/sessions/overlay-log.ts';
import { bufferPool } from '../../../lib/buffer-pool.ts';
import type { Clock } from '../../../sys/base/clock.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { syncPace } from '../../latency-gate.ts';
import type { Segment } from '../segments/segments.ts';

/** Sealed slots of neighboring places that are written at once. */
export interface Batch {
  readonly segment: Segment;
  readonly file: File;
  readonly first: number;
  /** Places sealed so far. */
  count: number;
  readonly staging: Uint8Array<ArrayBuffer>;
  /**
   * Called when the write ends, with the error if its places hold nothing; `staging` still holds the sealed slots.
   */
  readonly waiting: ((failure: unknown) => void)[];
  /** Settles after the waiting functions were called. */
  readonly written: Promise<void>;
  readonly settle: { readonly done: () => void; readonly failed: (cause: unknown) => void };
}

export interface Batches {
  /** The batch that takes slots in this tick, if there is one. */
  readonly open: Batch | undefined;
  /** Begins a batch at place `first`. An open batch is written at once. */
  begin(segment: Segment, file: File, first: number): Batch;
  /** Writes the open batch now. */
  send(): void;
  /** Batches being written, oldest first. */
  underWay(): Iterable<Batch>;
  readonly isFull: boolean;
  /** Whether the medium is quick enough to block this thread. */
  mayBlock(): boolean;
}

export const BATCH_PLACES = 256;
const BATCH_LENGTH = BATCH_PLACES * PLACE_LENGTH;
/** Each holds 1 MiB, and its writers wait for it: so many writes keep a disk busy. */
const BATCHES_MAX = 8;
/** Shared by all logs of this process. */
const stagings = bufferPool(BATCHES_MAX, 2 * BATCH_LENGTH);

/**
 * Slots sealed in one turn of the loop go to the file in one write, in a microtask afterwards: in this thread while
 * the medium is quick and the batch is small, otherwise by the thread pool, while the next batch is sealed.
 */
export function batches({
  clock,
  nowMax,
  onFailed,
}: {
  readonly clock: Clock;
  /** The largest batch that this thread writes itself, in bytes. */
  readonly nowMax: number;
  readonly onFailed: (batch: Batch) => void;
}): Batches {
  const pace = syncPace(clock);
  const underWay = new Set<Batch>();
  let open: Batch | undefined;

  function end(batch: Batch, failure: unknown): void {
    underWay.delete(batch);
    // Only now: a sync that began earlier need not cover it.
    batch.segment.isUnsynced = true;
    for (const ended of batch.waiting) ended(failure);
    stagings.give(batch.staging);
  }
  function done(batch: Batch): void {
    end(batch, undefined);
    batch.settle.done();
  }
  function failed(batch: Batch, cause: unknown): void {
    onFailed(batch);
    end(batch, cause);
    batch.settle.failed(cause);
  }
  function send(): void {
    const batch = open;
    if (!batch) return;
    open = undefined;
    const bytes = batch.staging.subarray(0, batch.count * PLACE_LENGTH);
    const at = batch.first * PLACE_LENGTH;
    if (bytes.length > nowMax || !pace.mayBlock()) {
      batch.file.write(bytes, at).then(
        () => done(batch),
        (cause: unknown) => failed(batch, cause),
      );
      return;
    }
    try {
      pace.timed(() => batch.file.writeNow(bytes, at));
    } catch (cause) {
      return failed(batch, cause);
    }
    done(batch);
  }
  return {
    get open() {
      return open;
    },
    begin(segment, file, first) {
      send();
      const { promise: written, resolve, reject } = Promise.withResolvers<void>();
      // Its writers handle the failure; for a record without a writer the next flush does.
      written.catch(() => {});
      const batch: Batch = {
        segment,
        file,
        first,
        count: 0,
        staging: stagings.take(BATCH_LENGTH),
        waiting: [],
        written,
        settle: { done: resolve, failed: reject },
      };
      open = batch;
      underWay.add(batch);
      queueMicrotask(() => {
        if (open === batch) send();
      });
      return batch;
    },
    send,
    underWay: () => underWay,
    mayBlock: pace.mayBlock,
    get isFull() {
      return underWay.size >= BATCHES_MAX;
    },
  };
}
