import { join } from 'node:path/posix';
import type { PageRun, PageState } from '../../formats/store/sessions/overlay-map.ts';
import { allDone } from '../../lib/all-done.ts';
import { rangeTurns } from '../../lib/range-lock.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import type { BlockDevice, Extent, WritableBlockDevice } from '../block-device.ts';
import { BlockError } from '../block-error.ts';
import { blockError, failingAs } from '../file.ts';
import { type WriteOps, writeLayer } from '../layer.ts';
import {
  checkOverlayLog,
  createOverlayLog,
  openOverlayLog,
  type OverlayLog,
} from './overlay-log.ts';
import { flushRounds } from '../group-commit.ts';
import type { PageMap } from './page-map.ts';
import { type LeftWrites, leftWrites, recentWrites } from './recent-writes.ts';
import { unflushedRuns } from './unflushed-runs.ts';
import type { SpaceGuard } from '../space-guard.ts';
import { syncPace } from '../latency-gate.ts';

/**
 * What a session writes, over a base that stays unchanged. Written pages lie in a sparse data file at the offsets
 * that they have on the disk; the map of written pages is in memory, its state at the last flush in a log
 * (formats/store/sessions/overlay-map.md), and later changes in files that are not synced
 * (formats/store/sessions/overlay-recent.md). Answered writes survive the end of this process, in any way; writes
 * that a flush acknowledged survive a power cut, after which a page is as of that flush or newer.
 *
 * A page is 4 KiB. A write to a part of an absent page takes the rest of it from the base, in the page's turn; reads
 * never store anything, so that a slow base cannot undo a newer write.
 */
export interface Overlay extends WritableBlockDevice {
  /** Ascending; everything written or zeroed since the overlay began. */
  written(): Extent[];
  /** Bytes of data held here. */
  readonly taken: number;
}

export interface OverlayOptions {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly directory: string;
  /** Names the files: `<disk>.data` and `<disk>.map`; while it is open also `<disk>.recent-0` and `-1`. */
  readonly disk: string;
  readonly space: SpaceGuard;
  /** Bytes of each of the latter above which a write waits for a flush; default: that of `recentWrites`. */
  readonly recentLengthMax?: number;
}

const PAGE_LENGTH = 4096;
/** A read of this length from the page cache takes less time than handing it to the thread pool. */
const READ_NOW_MAX = 64 * 1024;
const WRITE_NOW_MAX = 128 * 1024;

/** Creates the overlay's files, or continues with existing ones. The base is lent. */
export async function openOverlay(options: OverlayOptions, base: BlockDevice): Promise<Overlay> {
  const { size } = base.geometry;
  await using stack = new AsyncDisposableStack();
  const { file, log, recent } = await openFiles(options, size, stack);
  const owned = stack.move();

  const { map } = log;
  const unflushed = unflushedRuns();
  const rounds = flushRounds(async () => {
    // In one tick, so that exactly the runs taken here are cleared at the end.
    const runs = unflushed.take();
    const emptyTurned = recent.turn();
    await syncOr(recent.distrust, file);
    if (runs.length > 0) await log.append(runs);
    await emptyTurned();
  });
  /** Done last: a write that fails here has had no effect. */
  function mark(first: number, count: number, state: PageState): void {
    const run = { first, count, state };
    recent.add(run);
    map.set(first, count, state);
    unflushed.add(run);
  }
  const parts = { ...options, base, file, map, mark, size, check: rounds.check };
  const device = writeLayer(
    `overlay of ${base.name}`,
    { size, blockSize: PAGE_LENGTH },
    {
      ...readOps(parts),
      ...writeOps(parts, async (durability) => {
        if (durability === 'durable' || recent.isFull()) await rounds.flush();
      }),
      flush: () => rounds.flush(),
      async close() {
        await using _owned = owned;
        await rounds.flush();
      },
    },
  );
  return Object.assign(device, {
    written: () => [...map.written()].map((run) => extentOf(run, size)),
    get taken() {
      return map.dataPages() * PAGE_LENGTH;
    },
  });
}

/**
 * Checks that the map and the data file of a disk of `size` bytes exist and the map can be read; changes nothing,
 * even while the overlay is open. Rejects BlockError CORRUPT.
 */
export async function checkOverlay(
  { files, directory, disk }: Pick<OverlayOptions, 'files' | 'directory' | 'disk'>,
  size: number,
): Promise<void> {
  const mapPath = join(directory, `${disk}.map`);
  for (const path of [join(directory, `${disk}.data`), mapPath]) {
    if (await files.stat(path)) continue;
    throw new BlockError('CORRUPT', `${path} is missing: what was written to the disk is lost`);
  }
  await checkOverlayLog(files, mapPath, { pageLength: PAGE_LENGTH, size });
}

async function openFiles(
  { files, directory, disk, recentLengthMax }: OverlayOptions,
  size: number,
  stack: AsyncDisposableStack,
) {
  const header = { pageLength: PAGE_LENGTH, size };
  const [dataPath, mapPath] = [join(directory, `${disk}.data`), join(directory, `${disk}.map`)];
  const place = { files, path: join(directory, `${disk}.recent`) };
  const left = await leftWrites(place, Math.ceil(size / PAGE_LENGTH));
  const exists = (await files.stat(mapPath)) !== undefined;
  // Without a map they belong to another overlay.
  if (!exists) await left.remove();
  const file = stack.use(
    exists ? await files.open(dataPath, 'write') : await freshData(files, dataPath, size),
  );
  // The map is created last: where it exists, the data file is complete.
  const log = stack.use(await (exists ? openOverlayLog : createOverlayLog)(files, mapPath, header));
  if (exists) {
    await takeUp(left, file, log);
    await left.remove();
  }
  return { file, log, recent: stack.use(await recentWrites(place, recentLengthMax)) };
}

/** Makes durable the writes that a killed process had answered. */
async function takeUp(left: LeftWrites, file: File, log: OverlayLog): Promise<void> {
  if (left.runs.length === 0) return;
  for (const { first, count, state } of left.runs) log.map.set(first, count, state);
  await syncOr(left.remove, file);
  await log.append(left.runs);
}

/** A failed sync, like every later one, proves nothing about earlier writes. */
async function syncOr(distrust: () => void | Promise<void>, file: File): Promise<void> {
  try {
    await file.sync();
  } catch (cause) {
    await distrust();
    throw cause;
  }
}

type Parts = OverlayOptions & {
  readonly base: BlockDevice;
  readonly file: File;
  readonly map: PageMap;
  readonly size: number;
  mark(first: number, count: number, state: PageState): void;
  check(): void;
};

async function freshData(files: FileSystem, path: string, size: number): Promise<File> {
  // Left by a power cut before the map was created: nothing in it was ever acknowledged.
  if (await files.stat(path)) await files.unlink(path);
  const file = await files.create(path);
  await file.truncate(size);
  await file.sync();
  return file;
}

function readOps({ base, file, map, size, clock }: Parts) {
  const pace = syncPace(clock);

  /** Splits a range into parts of one state each; offsets are bytes of the disk. */
  function* parts(offset: number, length: number) {
    const first = Math.floor(offset / PAGE_LENGTH);
    const count = Math.ceil((offset + length) / PAGE_LENGTH) - first;
    for (const run of map.runs(first, count)) {
      const start = Math.max(offset, run.first * PAGE_LENGTH);
      const end = Math.min(offset + length, (run.first + run.count) * PAGE_LENGTH);
      yield { start, end, state: run.state };
    }
  }
  function untouched(offset: number, length: number): boolean {
    const first = Math.floor(offset / PAGE_LENGTH);
    return map.allAbsent(first, Math.ceil((offset + length) / PAGE_LENGTH) - first);
  }
  function readNow(into: Uint8Array, offset: number): number {
    try {
      return pace.timed(() => file.readNow(into, offset));
    } catch (cause) {
      throw blockError(cause, 'overlay');
    }
  }
  function whole(count: number, into: Uint8Array, offset: number): void {
    if (count === into.length) return;
    throw new BlockError('CORRUPT', `${file.path} is too short: ${offset}+${into.length}`);
  }
  const ops: Pick<WriteOps, 'tryRead' | 'read' | 'extents'> = {
    tryRead(into, offset, effort) {
      if (untouched(offset, into.length)) return base.tryRead(into, offset, effort);
      if (into.length > READ_NOW_MAX || !pace.mayBlock()) return false;
      for (const { start, end, state } of parts(offset, into.length)) {
        const part = into.subarray(start - offset, end - offset);
        if (state === 'zero') part.fill(0);
        else if (state === 'data') whole(readNow(part, start), part, start);
        else if (!base.tryRead(part, start, effort)) return false;
      }
      return true;
    },
    async read(into, offset) {
      if (untouched(offset, into.length)) return base.read(into, offset);
      await allDone(
        [...parts(offset, into.length)].map(async ({ start, end, state }) => {
          const part = into.subarray(start - offset, end - offset);
          if (state === 'zero') part.fill(0);
          else if (state === 'absent') await base.read(part, start);
          else whole(await failingAs('overlay', () => file.read(part, start)), part, start);
        }),
      );
    },
    async extents(offset, length) {
      const found: Extent[] = [];
      for (const { start, end, state } of parts(offset, length)) {
        if (state === 'absent') found.push(...(await base.extents(start, end - start)));
        else found.push({ offset: start, length: Math.min(end, size) - start, kind: state });
      }
      return found;
    },
  };
  return ops;
}

function writeOps(
  parts: Parts,
  afterwards: (durability: 'cached' | 'durable') => Promise<void>,
): Pick<WriteOps, 'write' | 'zero'> {
  const { base, file, map, mark, size, space, clock, check } = parts;
  const turns = rangeTurns();
  const pace = syncPace(clock);

  async function store(from: Uint8Array, offset: number): Promise<void> {
    if (from.length <= WRITE_NOW_MAX && pace.mayBlock()) {
      pace.timed(() => file.writeNow(from, offset));
    } else {
      await file.write(from, offset);
    }
  }
  /** The current contents of a page, for a write that replaces a part of it. Call it in the page's turn. */
  async function pageContents(page: number): Promise<Uint8Array> {
    const start = page * PAGE_LENGTH;
    const contents = new Uint8Array(Math.min(PAGE_LENGTH, size - start));
    const state = map.state(page);
    if (state === 'absent') await base.read(contents, start);
    else if (state === 'data') await file.read(contents, start);
    return contents;
  }
  /** Runs in the turn of all pages that it touches. */
  async function put(from: Uint8Array, offset: number, first: number, count: number) {
    const end = offset + from.length;
    const head = offset % PAGE_LENGTH;
    const last = first + count - 1;
    const tail = end < size ? end % PAGE_LENGTH : 0;
    const lacking = map.countWithoutData(first, count);
    if (lacking > 0) {
      if (!space.tryTake(lacking * PAGE_LENGTH)) await space.take(lacking * PAGE_LENGTH);
      // Partly written pages without data are filled completely, so that the file never holds half a page.
      const isFirstFilled = head > 0 && map.state(first) !== 'data';
      if (isFirstFilled) await fill(first);
      if (tail > 0 && map.state(last) !== 'data' && !(isFirstFilled && first === last)) {
        await fill(last);
      }
    }
    await store(from, offset);
    // Pages that were data before are already in the log, or in the runs that go there next.
    if (lacking > 0) mark(first, count, 'data');
  }
  /** The page is not marked yet: until then reads see its old contents. */
  async function fill(page: number): Promise<void> {
    await store(await pageContents(page), page * PAGE_LENGTH);
  }
  async function clear(offset: number, length: number): Promise<void> {
    const first = Math.ceil(offset / PAGE_LENGTH);
    const end = offset + length;
    const stop = end === size ? Math.ceil(end / PAGE_LENGTH) : Math.floor(end / PAGE_LENGTH);
    if (stop <= first) return clearPart(offset, length);
    if (offset < first * PAGE_LENGTH) await clearPart(offset, first * PAGE_LENGTH - offset);
    if (map.countWithoutData(first, stop - first) < stop - first) {
      await file.punchHole(first * PAGE_LENGTH, (stop - first) * PAGE_LENGTH);
    }
    mark(first, stop - first, 'zero');
    if (stop * PAGE_LENGTH < end) await clearPart(stop * PAGE_LENGTH, end - stop * PAGE_LENGTH);
  }
  /** Zeros less than a page, or parts of two neighboring pages. */
  async function clearPart(offset: number, length: number): Promise<void> {
    const first = Math.floor(offset / PAGE_LENGTH);
    const count = Math.ceil((offset + length) / PAGE_LENGTH) - first;
    await put(new Uint8Array(length), offset, first, count);
  }
  function inTurn(
    offset: number,
    length: number,
    work: (first: number, count: number) => Promise<void>,
  ) {
    const first = Math.floor(offset / PAGE_LENGTH);
    const count = Math.ceil((offset + length) / PAGE_LENGTH) - first;
    check();
    return failingAs('overlay', () => turns.run(first, count, () => work(first, count)));
  }
  return {
    async write(from, offset, durability) {
      await inTurn(offset, from.length, (first, count) => put(from, offset, first, count));
      await afterwards(durability);
    },
    async zero(offset, length, durability) {
      await inTurn(offset, length, () => clear(offset, length));
      await afterwards(durability);
    },
  };
}

function extentOf({ first, count, state }: PageRun, size: number): Extent {
  const offset = first * PAGE_LENGTH;
  return { offset, length: Math.min(count * PAGE_LENGTH, size - offset), kind: state };
}
