import { FormatError } from '../../formats/format-error.ts';
import {
  decodeOverlayRecord,
  overlayRecords,
  type PageRun,
  singleRunEncoder,
} from '../../formats/store/sessions/overlay-map.ts';
import {
  decodeRecentHeader,
  encodeRecentHeader,
  RECENT_HEADER_LENGTH,
} from '../../formats/store/sessions/overlay-recent.ts';
import { assert } from '../../lib/assert.ts';
import { MiB } from '../../lib/sizes.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { replayAll } from '../../sys/files/record-log.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { BlockError } from '../block-error.ts';
import { unflushedRuns } from './unflushed-runs.ts';

/*
 * Writes to an overlay since its last flush, in two files that outlive this process
 * (formats/store/sessions/overlay-recent.md): a killed process loses no answered write. The files are never synced,
 * and so mean nothing once the kernel that had them in memory is gone.
 */

/** The path of the two files, without their ending. */
export interface RecentPlace {
  readonly files: FileSystem;
  readonly path: string;
}

export interface RecentWrites extends AsyncDisposable {
  /**
   * Once this returns, the run outlives the process. Only for runs whose pages are in the data file already. Throws
   * SystemError, or BlockError after `distrust`; then nothing was added.
   */
  add(run: PageRun): void;
  /** Whether a flush is due. The files grow until one has begun. */
  isFull(): boolean;
  /**
   * From now on runs go to the other file. Call the returned function when all runs added before are in the overlay's
   * log, and before the next turn.
   */
  turn(): () => Promise<void>;
  /** A sync of the data file failed: the next process must not trust the added runs. Accepts no further runs. */
  distrust(): void;
}

export interface LeftWrites {
  /** Later runs win. Neither the runs nor their pages are durable. */
  readonly runs: readonly PageRun[];
  /** Call it once the runs are in the overlay's log, or must not be trusted. */
  remove(): Promise<void>;
}

/** Limit for one file: 800,000 runs, which are read in a second. A flush under way may see as many again. */
const LENGTH_MAX = 16 * MiB;

function paths({ path }: RecentPlace): readonly [string, string] {
  return [`${path}-0`, `${path}-1`];
}

/** Reads what a killed process left, without changes. Rejects CORRUPT where a later release wrote it. */
export async function leftWrites(place: RecentPlace, pages: number): Promise<LeftWrites> {
  const { files } = place;
  const bootId = await files.bootId();
  const found: { readonly path: string; readonly generation: number }[] = [];
  for (const path of paths(place)) {
    if (!(await files.stat(path))) continue;
    await using file = await files.open(path, 'read');
    const header = await headerOf(file);
    // A file without a valid header counts as the oldest.
    found.push({ path, generation: header?.bootId === bootId ? header.generation : -1 });
  }
  found.sort((a, b) => a.generation - b.generation);
  const left = unflushedRuns();
  for (const { path, generation } of found) {
    if (generation < 0) continue;
    await using file = await files.open(path, 'read');
    await eachRun(file, pages, left.add);
  }
  return {
    runs: left.take(),
    async remove() {
      // The oldest first: without its successor it would undo the later runs.
      for (const { path } of found) await files.unlink(path);
    },
  };
}

async function headerOf(file: File) {
  const bytes = new Uint8Array(RECENT_HEADER_LENGTH);
  try {
    return decodeRecentHeader(bytes.subarray(0, await file.read(bytes, 0)));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    if (cause.code !== 'UNSUPPORTED') return undefined;
    throw new BlockError('CORRUPT', `${file.path}: ${cause.message}`, { cause });
  }
}

/** Stops at the first record that was never answered: a torn last one, or one impossible for this overlay. */
async function eachRun(file: File, pages: number, add: (run: PageRun) => void): Promise<void> {
  try {
    await replayAll(file, {
      headerLength: RECENT_HEADER_LENGTH,
      records: overlayRecords,
      checkHeader: decodeRecentHeader,
      replay(bytes) {
        const record = decodeOverlayRecord(bytes, pages);
        for (const run of record?.runs ?? []) add(run);
        return record?.length;
      },
    });
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'CORRUPT') {
      throw new BlockError('CORRUPT', cause.message, { cause });
    }
    if (!(cause instanceof FormatError)) throw cause;
  }
}

interface Slot {
  readonly path: string;
  readonly file: File;
  length: number;
}

/** Starts with empty files; leftover ones have been removed. */
export async function recentWrites(
  place: RecentPlace,
  lengthMax = LENGTH_MAX,
): Promise<RecentWrites> {
  const { files } = place;
  const bootId = await files.bootId();
  const encode = singleRunEncoder();
  const slots: Slot[] = [];
  await using stack = new AsyncDisposableStack();
  for (const path of paths(place)) {
    const slot = { path, file: stack.use(await files.create(path)), length: 0 };
    slots.push(slot);
  }
  const owned = stack.move();
  let [current, other] = slots as [Slot, Slot];
  let generation = 0;
  let isDistrusted = false;

  return {
    add(run) {
      if (isDistrusted) throw new BlockError('IO', `${place.path}: an earlier flush failed`);
      if (current.length === 0) {
        generation++;
        current.file.writeNow(encodeRecentHeader({ generation, bootId }), 0);
        current.length = RECENT_HEADER_LENGTH;
      }
      const record = encode(run);
      current.file.writeNow(record, current.length);
      current.length += record.length;
    },
    isFull: () => current.length >= lengthMax,
    turn() {
      const old = current;
      if (old.length === 0) return async () => {};
      assert(other.length === 0, `${other.path} still holds flushed runs`);
      [current, other] = [other, old];
      return async () => {
        await old.file.truncate(0);
        old.length = 0;
      };
    },
    distrust() {
      isDistrusted = true;
      for (const { file, length } of slots) {
        if (length === 0) continue;
        try {
          file.writeNow(new Uint8Array(RECENT_HEADER_LENGTH), 0);
        } catch {
          // The disk is failing: nothing more can be done.
        }
      }
    },
    async [Symbol.asyncDispose]() {
      await owned.disposeAsync();
      for (const { path, length } of slots) if (length === 0) await files.unlink(path);
    },
  };
}
