import { PLACE_LENGTH } from '../../../formats/store/sessions/overlay-log.ts';
import { bufferPool } from '../../../lib/buffer-pool.ts';
import type { Clock } from '../../../sys/base/clock.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { syncPace } from '../../latency-gate.ts';
import type { Segment } from '../segments/segments.ts';

/** Sealed slots of neighbouring places that are written in one go. */
export interface Batch {
  readonly segment: Segment;
  readonly file: File;
  readonly first: number;
  /** Places that were sealed so far. */
  count: number;
  readonly staging: Uint8Array<ArrayBuffer>;
  /** Called at its end, with what the file said if its places hold nothing; the staging is what was sealed still. */
  readonly waiting: ((failure: unknown) => void)[];
  /** Settles after those were called. */
  readonly written: Promise<void>;
  readonly settle: { readonly done: () => void; readonly failed: (cause: unknown) => void };
}

export interface Batches {
  /** The one that takes slots in this tick, if one does. */
  readonly open: Batch | undefined;
  /** One that takes the places from `first` on. An open one is written at once. */
  begin(segment: Segment, file: File, first: number): Batch;
  /** Writes the open one now. */
  send(): void;
  /** Those that are being written, oldest first. */
  underWay(): Iterable<Batch>;
  readonly isFull: boolean;
  /** Whether the medium is quick enough for this thread to wait for it. */
  mayBlock(): boolean;
}

export const BATCH_PLACES = 256;
const BATCH_LENGTH = BATCH_PLACES * PLACE_LENGTH;
/** Each holds 1 MiB; their writers wait, so that these are as many as a disk takes side by side. */
const BATCHES_MAX = 8;
/** All logs of this process share them. */
const stagings = bufferPool(BATCHES_MAX, 2 * BATCH_LENGTH);

/**
 * What is sealed in one turn of the loop goes to the file in one write, in a microtask after it: in this thread while
 * the medium is quick and the batch is small, else by the thread pool, while the next one is sealed.
 */
export function batches({
  clock,
  nowMax,
  onFailed,
}: {
  readonly clock: Clock;
  /** Bytes of a batch that this thread writes itself. */
  readonly nowMax: number;
  readonly onFailed: (batch: Batch) => void;
}): Batches {
  const pace = syncPace(clock);
  const underWay = new Set<Batch>();
  let open: Batch | undefined;

  function end(batch: Batch, failure: unknown): void {
    underWay.delete(batch);
    // Only now: a sync that began before need not have it.
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
      // Its writers look at it; a record without a writer is looked at by the next flush.
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
