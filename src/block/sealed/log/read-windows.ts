import { PAGE_LENGTH, PLACE_LENGTH } from '../../../formats/store/sessions/overlay-log.ts';
import { allDone } from '../../../lib/all-done.ts';
import { bufferPool } from '../../../lib/buffer-pool.ts';
import { turns } from '../../../lib/mutex.ts';
import { ABSENT, type LocationRun, type PageLocations, ZERO } from '../map/page-locations.ts';
import type { Segment, Segments } from '../segments/segments.ts';
import { openStretch, partOf, type Stretch, stretchOf } from './stretch.ts';

/**
 * Reads for a caller that goes through the whole disk once, in ascending order. Pages lie in the log in the order in
 * which they were written: read by their place on the disk, each one is a seek on a hard disk. So the next pages that
 * lie in the log are read ahead, a window at a time: sorted by their place in the log, neighbors in one read. While
 * one window is used the next one is read.
 *
 * A window holds all pages that could be read and opened. The rest is left to the ordinary way of reading, which
 * looks twice and reports what is wrong.
 */
export interface AscendingReads extends AsyncDisposable {
  read(into: Uint8Array, offset: number): Promise<void>;
}

/** 16 MiB of pages; memory holds two windows. */
const WINDOW_PAGES = 4096;
/** The longest read. */
const READ_PLACES = 256;
/** The largest gap that is read along, in places: reading 64 KiB takes less than a seek, or a request. */
const GAP_PLACES = 16;
/** The most reads under way, in the order of the log. */
const READS_MAX = 4;

/** Consecutive pages, on the disk and in the log. */
interface Piece extends LocationRun {
  readonly segment: Segment;
  /** Position of its pages in the window's memory. */
  readonly at: number;
  isOpen: boolean;
}

interface Window {
  /** In ascending order of pages. */
  readonly pieces: readonly Piece[];
  readonly memory: Uint8Array;
  /** All pages before this one that are in the log are in this window, or an earlier one. */
  readonly end: number;
}

const NOTHING: Window = { pieces: [], memory: new Uint8Array(), end: 0 };

type Log = { readonly segments: Segments; readonly map: PageLocations };

export function ascendingReads(
  { segments, map }: Log,
  readOrdinary: AscendingReads['read'],
): AscendingReads {
  const inTurn = turns();
  const windows = windowsOf({ segments, map });
  let current = NOTHING;
  let next: Promise<Window> | undefined;

  /** The read that needs the window handles its failure. */
  function begun(wanted: number): Promise<Window> {
    const window = windows.next(wanted);
    window.catch(() => {});
    return window;
  }
  /** Fills the pages that a window has, and returns the other runs. */
  async function filled(into: Uint8Array, offset: number): Promise<readonly LocationRun[]> {
    const first = Math.floor(offset / PAGE_LENGTH);
    const end = Math.ceil((offset + into.length) / PAGE_LENGTH);
    let missing: readonly LocationRun[] = await runsOf(map, first, end - first);
    for (;;) {
      missing = missing.flatMap((run) => taken(segments, current, run, { into, offset }));
      if (current.end >= end) break;
      const window = next ?? begun(first);
      next = undefined;
      current = await window;
    }
    if (current.end < Infinity) next ??= begun(first);
    return missing;
  }
  return {
    async read(into, offset) {
      const missing = await inTurn(() => filled(into, offset));
      await allDone(
        missing.map((run) => {
          const { part, at } = partOf(run, into, offset);
          return readOrdinary(part, at);
        }),
      );
    },
    async [Symbol.asyncDispose]() {
      await inTurn(async () => next?.catch(() => {}));
    },
  };
}

/** Makes the windows, one after the other. */
function windowsOf({ segments, map }: Log) {
  const written = map.written();
  const pool = bufferPool(READS_MAX, 2 * READ_PLACES * PLACE_LENGTH);
  /** The part of a run that did not fit in the last window. */
  let left: LocationRun | undefined;

  async function nextRun(): Promise<LocationRun | undefined> {
    const run = left;
    left = undefined;
    if (run) return run;
    const { value, done } = await written.next();
    return done === true ? undefined : value;
  }
  async function readSorted(pieces: readonly Piece[], memory: Uint8Array): Promise<void> {
    const reads = readsOf(segments, pieces)[Symbol.iterator]();
    async function lane(): Promise<void> {
      for (const read of reads) await readOne(read, memory);
    }
    await allDone(Array.from({ length: READS_MAX }, lane));
  }
  async function readOne({ stretches, from, to }: Read, memory: Uint8Array): Promise<void> {
    const { segment } = stretches[0]![0];
    const bytes = pool.take((to - from) * PLACE_LENGTH);
    try {
      const length = await segments.use(segment, (file) => file.read(bytes, from * PLACE_LENGTH));
      bytes.fill(0, length);
      for (const [piece, it] of stretches) {
        const into = memory.subarray(piece.at, piece.at + piece.count * PAGE_LENGTH);
        const slots = bytes.subarray((it.from - from) * PLACE_LENGTH);
        piece.isOpen = openStretch(slots, it, into, piece.first * PAGE_LENGTH) === undefined;
      }
    } catch {
      // The ordinary way reports the reason.
    } finally {
      pool.give(bytes);
    }
  }
  return {
    /** Makes the next window, without pages before `wanted`. */
    async next(wanted: number): Promise<Window> {
      const pieces: Piece[] = [];
      let pages = 0;
      while (pages < WINDOW_PAGES) {
        const run = await nextRun();
        if (!run) break;
        if (run.location === ZERO || run.first + run.count <= wanted) continue;
        const count = Math.min(run.count, READ_PLACES, WINDOW_PAGES - pages);
        const segment = segments.at(run.location >>> 14);
        const at = pages * PAGE_LENGTH;
        if (segment) pieces.push({ ...run, count, segment, at, isOpen: false });
        pages += count;
        if (count < run.count) left = behind(run, count);
      }
      const memory = new Uint8Array(pages * PAGE_LENGTH);
      await readSorted(
        pieces.filter((it) => isThere(segments, it)),
        memory,
      );
      const last = pieces.at(-1);
      const isLast = !last || pages < WINDOW_PAGES;
      return { pieces, memory, end: isLast ? Infinity : last.first + last.count };
    },
  };
}

/** False if its segment was freed; its index may belong to another one by now. */
function isThere(segments: Segments, { segment, location }: Piece): boolean {
  return segments.at(location >>> 14) === segment;
}

/** Copies the part of a run that the window has, and returns the rest. */
function taken(
  segments: Segments,
  window: Window,
  run: LocationRun,
  target: { readonly into: Uint8Array; readonly offset: number },
): readonly LocationRun[] {
  if (run.location === ZERO || run.location === ABSENT) return [run];
  const missing: LocationRun[] = [];
  const end = run.first + run.count;
  let page = run.first;
  for (const piece of piecesFrom(window, run.first)) {
    if (piece.first >= end) break;
    if (!isOf(piece, run) || !isThere(segments, piece)) continue;
    const from = Math.max(page, piece.first);
    const to = Math.min(end, piece.first + piece.count);
    if (from > page) missing.push({ ...behind(run, page - run.first), count: from - page });
    copyPages(window, piece, { from, to }, target);
    page = to;
  }
  if (page < end) missing.push(behind(run, page - run.first));
  return missing;
}

async function runsOf(map: PageLocations, first: number, count: number) {
  while (!map.ready(first, count)) await map.load(first, count);
  return map.runs(first, count);
}

/** One read for several pieces: from `from` up to, not including, `to` in one segment. */
interface Read {
  readonly stretches: (readonly [Piece, Stretch])[];
  readonly from: number;
  to: number;
}

/** The reads, in the order of the log. */
function readsOf(segments: Segments, pieces: readonly Piece[]): readonly Read[] {
  const sorted = pieces
    .map((piece) => [piece, stretchOf(segments, piece)] as const)
    .sort(([, a], [, b]) => a.segment.number - b.segment.number || a.from - b.from);
  const reads: Read[] = [];
  for (const one of sorted) {
    const [, { segment, from, to }] = one;
    const last = reads.at(-1);
    const isNear =
      last?.stretches[0]![1].segment === segment &&
      from - last.to <= GAP_PLACES &&
      to - last.from <= READ_PLACES + GAP_PLACES;
    if (last && isNear) {
      last.stretches.push(one);
      last.to = Math.max(last.to, to);
    } else reads.push({ stretches: [one], from, to });
  }
  return reads;
}

/** The run without its first `pages`. */
function behind({ first, count, location }: LocationRun, pages: number): LocationRun {
  return { first: first + pages, count: count - pages, location: location + pages };
}

/** Whether the pages still lie where they were read. */
function isOf({ first, location, isOpen }: Piece, run: LocationRun): boolean {
  return isOpen && location - first === run.location - run.first;
}

/** The pieces of the window, from the first one that ends behind `page`. */
function* piecesFrom({ pieces }: Window, page: number): Generator<Piece> {
  let [low, high] = [0, pieces.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const { first, count } = pieces[middle]!;
    if (first + count <= page) low = middle + 1;
    else high = middle;
  }
  for (; low < pieces.length; low++) yield pieces[low]!;
}

function copyPages(
  { memory }: Window,
  piece: Piece,
  { from, to }: { readonly from: number; readonly to: number },
  { into, offset }: { readonly into: Uint8Array; readonly offset: number },
): void {
  const begin = Math.max(offset, from * PAGE_LENGTH);
  const end = Math.min(offset + into.length, to * PAGE_LENGTH);
  const at = piece.at + begin - piece.first * PAGE_LENGTH;
  into.set(memory.subarray(at, at + end - begin), begin - offset);
}
