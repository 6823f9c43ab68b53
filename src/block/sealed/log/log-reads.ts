import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_PLACES,
} from '../../../formats/store/sessions/overlay-log.ts';
import { allDone } from '../../../lib/all-done.ts';
import { bufferPool } from '../../../lib/buffer-pool.ts';
import { KiB, MiB } from '../../../lib/sizes.ts';
import type { Clock } from '../../../sys/base/clock.ts';
import type { File } from '../../../sys/files/file-system.ts';
import type { BlockDevice, Effort } from '../../block-device.ts';
import { readAround } from '../../../sys/files/read-around.ts';
import { SystemError } from '../../../sys/base/system-error.ts';
import { BlockError } from '../../block-error.ts';
import { type SyncPace, syncPace } from '../../latency-gate.ts';
import type { LogFiles } from '../segments/log-files.ts';
import { ABSENT, type LocationRun, type PageLocations, ZERO } from '../map/page-locations.ts';
import { damagedPages, type SlotPages } from '../segments/damaged-pages.ts';
import { type AscendingReads, ascendingReads } from './read-windows.ts';
import { locationOf, type Segments, slotPlaces } from '../segments/segments.ts';
import { openStretch, partOf, type Stretch, stretchOf } from './stretch.ts';

export interface LogReads {
  /** Fills `into` from the log, the base and zeros, or returns false: then use `read`. */
  tryRead(into: Uint8Array, offset: number, effort: Effort): boolean;
  read(into: Uint8Array, offset: number): Promise<void>;
  /** As `read`, for a caller that reads the whole disk once in ascending order. Close it before the log. */
  ascending(): AscendingReads;
}

export interface LogReadsOptions {
  readonly log: LogFiles;
  readonly segments: Segments;
  readonly map: PageLocations;
  readonly base: BlockDevice;
  readonly clock: Clock;
  readonly onDamage: (where: string, what: string) => void;
}

/** Up to this length, data in memory is read and opened at once: 0.3 ms, less than handing it to the thread pool. */
const CACHED_MAX = MiB;
/** Up to this length, plus the rest of two quads, a read that may reach the medium is done at once. */
const READ_NOW_MAX = 96 * KiB;
/** Pages read together before they are opened: they are then still in the processor's cache. */
const NOW_PAGES = 32;
/** Includes the rest of the quads in which the pages begin and end. */
const SCRATCH_PLACES = NOW_PAGES + 2 * (QUAD_PLACES - 1);
/** The largest read from the medium. */
const READ_PAGES = 256;
const SPARE_BUFFERS = 4;
const GONE_TRIES = 2;

export function logReads({ log, segments, map, base, clock, onDamage }: LogReadsOptions): LogReads {
  const pace = syncPace(clock);
  const pool = bufferPool(SPARE_BUFFERS, 2 ** 21);
  const scratch = new Uint8Array(SCRATCH_PLACES * PLACE_LENGTH);

  function tryRun(run: LocationRun, into: Uint8Array, offset: number, effort: Effort): boolean {
    for (let done = 0; done < run.count; ) {
      const part = partOfRun(run, done, NOW_PAGES);
      const it = stretchOf(segments, part);
      const file = segments.opened(it.segment);
      if (!file) return false;
      const bytes = scratch.subarray(0, (it.to - it.from) * PLACE_LENGTH);
      if (!tryFile(pace, { file, bytes, at: it.from * PLACE_LENGTH, effort })) return false;
      // A failed read is repeated the other way, which reports the reason.
      if (openStretch(bytes, it, into, offset) !== undefined) return false;
      done += part.count;
    }
    return true;
  }
  async function readRun(run: LocationRun, into: Uint8Array, offset: number): Promise<void> {
    const stretches: Stretch[] = [];
    // All parts now: after a part was read, the location may belong to another segment.
    for (let done = 0; done < run.count; ) {
      const part = partOfRun(run, done, READ_PAGES);
      stretches.push(stretchOf(segments, part));
      done += part.count;
    }
    for (const it of stretches) {
      const bytes = pool.take((it.to - it.from) * PLACE_LENGTH);
      try {
        await segments.use(it.segment, (file) => readStretch(file, it, bytes, { into, offset }));
      } finally {
        pool.give(bytes);
      }
    }
  }
  async function readStretch(
    file: File,
    it: Stretch,
    bytes: Uint8Array,
    { into, offset }: { readonly into: Uint8Array; readonly offset: number },
  ): Promise<void> {
    const at = it.from * PLACE_LENGTH;
    const unread = await readAround(file, bytes, at);
    let failed = openStretch(bytes, it, into, offset);
    if (failed !== undefined && unread.length === 0) {
      // Memory may be wrong while the medium is right.
      await file.drop(at, bytes.length);
      await readAround(file, bytes, at);
      failed = openStretch(bytes, it, into, offset);
    }
    if (failed === undefined) return;
    const { disk } = log;
    const what = damagedPages(pagesAt(map, it, failed), { disk, path: file.path });
    it.segment.isDamaged = true;
    onDamage(disk, what);
    throw new BlockError('CORRUPT', what);
  }
  /** A segment may be gone by the time it is opened: the map then has newer locations. */
  async function readAll(into: Uint8Array, offset: number, tries: number): Promise<void> {
    const first = Math.floor(offset / PAGE_LENGTH);
    const count = Math.ceil((offset + into.length) / PAGE_LENGTH) - first;
    while (!map.ready(first, count)) await map.load(first, count);
    const runs = map.runs(first, count);
    try {
      if (runs.length === 1) return await readPart(runs[0]!, into, offset);
      await allDone(runs.map((run) => readPart(run, into, offset)));
    } catch (cause) {
      const isGone = cause instanceof SystemError && cause.code === 'NOT_FOUND';
      if (!isGone || tries === 0) throw cause;
      await readAll(into, offset, tries - 1);
    }
  }
  async function readPart(run: LocationRun, into: Uint8Array, offset: number): Promise<void> {
    const { part, at } = partOf(run, into, offset);
    if (run.location === ZERO) part.fill(0);
    else if (run.location === ABSENT) await base.read(part, at);
    else await readRun(run, part, at);
  }
  const read = (into: Uint8Array, offset: number) => readAll(into, offset, GONE_TRIES);
  return {
    tryRead(into, offset, effort) {
      const first = Math.floor(offset / PAGE_LENGTH);
      const count = Math.ceil((offset + into.length) / PAGE_LENGTH) - first;
      if (!map.ready(first, count)) return false;
      const runs = map.runs(first, count);
      if (runs.length === 1 && runs[0]!.location === ABSENT) {
        return base.tryRead(into, offset, effort);
      }
      if (into.length > CACHED_MAX) return false;
      for (const run of runs) {
        const { part, at } = partOf(run, into, offset);
        if (run.location === ZERO) part.fill(0);
        else if (run.location === ABSENT) {
          if (!base.tryRead(part, at, effort)) return false;
        } else if (!tryRun(run, part, at, effort)) return false;
      }
      return true;
    },
    read,
    ascending: () => ascendingReads({ segments, map }, read),
  };
}

/** The pages of the slot at `start` that the map still finds there, and those between them. */
function pagesAt(
  map: PageLocations,
  { segment, page, place, count }: Stretch,
  start: number,
): SlotPages {
  let first = page + (start - place);
  let end = first + slotPlaces(segment, start);
  if (!map.ready(first, end - first)) {
    first = Math.max(first, page);
    end = Math.min(end, page + count);
    return { first, count: end - first };
  }
  const isThere = (at: number) => map.get(at) === locationOf(segment, place + (at - page));
  while (first < end - 1 && !isThere(first)) first++;
  while (end - 1 > first && !isThere(end - 1)) end--;
  return { first, count: end - first };
}

interface FileRead {
  readonly file: File;
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly effort: Effort;
}

/** Reads from memory, or from a medium that has been quick. */
function tryFile(pace: SyncPace, { file, bytes, at, effort }: FileRead): boolean {
  try {
    const isCached = file.readCached(bytes, at);
    if (isCached) return true;
    // Where the file system cannot tell, the pace decides.
    const mayBlock = effort === 'medium' || isCached === undefined;
    if (!mayBlock || bytes.length > READ_NOW_MAX || !pace.mayBlock()) return false;
    pace.timed(() => file.readNow(bytes, at));
    return true;
  } catch {
    return false;
  }
}

/** Up to about `most` pages from the one at `done` on, so that the next part begins with a slot of its own. */
function partOfRun({ first, count, location }: LocationRun, done: number, most: number) {
  const begin = location + done;
  const whole = most - ((begin + most - 1) % QUAD_PLACES);
  return { first: first + done, count: Math.min(count - done, whole), location: begin };
}
