import { encodeZeros } from '../../../formats/store/sessions/overlay-bodies.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
  QUAD_PLACES,
} from '../../../formats/store/sessions/overlay-log.ts';
import { assert } from '../../../lib/assert.ts';
import { bufferPool } from '../../../lib/buffer-pool.ts';
import type { RangeTurns } from '../../../lib/range-lock.ts';
import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import { turns } from '../../../lib/mutex.ts';
import type { WriteDone } from '../../block-device.ts';
import { BlockError } from '../../block-error.ts';
import type { SpaceGuard } from '../../space-guard.ts';
import type { Batch } from './batches.ts';
import { isFull } from './log-flush.ts';
import type { LogHead, Payer } from './log-head.ts';
import type { LogReads } from './log-reads.ts';
import type { LocationRun, PageLocations } from '../map/page-locations.ts';
import { locationOf, type Segments } from '../segments/segments.ts';
import { openStretch, stretchOf } from './stretch.ts';
import type { Unmapped } from './unmapped.ts';

export interface LogWrites {
  /** As `tryWrite` of a device. */
  tryWrite(from: Uint8Array, offset: number, done: WriteDone): boolean;
  write(from: Uint8Array, offset: number): Promise<void>;
  zero(offset: number, length: number): Promise<void>;
}

export interface LogWritesOptions {
  readonly head: LogHead;
  readonly segments: Segments;
  readonly map: PageLocations;
  readonly reads: LogReads;
  readonly turns: RangeTurns;
  readonly unmapped: Unmapped;
  readonly space: SpaceGuard;
  /** The disk's size in bytes. */
  readonly size: number;
  /** Awaited before answering a write that lies in the log. */
  readonly begun: () => Promise<void> | undefined;
  /** Called when a write waits for space. */
  readonly shortOfSpace: () => void;
}

/** The pages to seal for one write: whole ones, with the first and last patched where it covers only a part. */
interface Source {
  readonly from: Uint8Array;
  /** Offset in `from` at which the first page begins; negative where that page is patched. */
  readonly start: number;
  readonly first: number;
  readonly count: number;
  readonly firstPage: Uint8Array<ArrayBuffer> | undefined;
  readonly lastPage: Uint8Array<ArrayBuffer> | undefined;
}

/** `sealed` opens the sealed pages; valid during this call only. */
type PagesEnded = (failure: unknown, sealed: () => Uint8Array) => void;

const SPARE_PAGES = 64;

export function logWrites(options: LogWritesOptions): LogWrites {
  const { turns, size } = options;
  const appends = appending(options);
  const { put, tryPut } = putting(options, appends);

  async function clear(offset: number, length: number): Promise<void> {
    const end = offset + length;
    const first = Math.ceil(offset / PAGE_LENGTH);
    const stop = end === size ? Math.ceil(end / PAGE_LENGTH) : Math.floor(end / PAGE_LENGTH);
    if (stop <= first) return clearPart(offset, length);
    if (offset < first * PAGE_LENGTH) await clearPart(offset, first * PAGE_LENGTH - offset);
    await appends.zeros(first, stop - first);
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
  ): Promise<void> {
    const first = Math.floor(offset / PAGE_LENGTH);
    const count = Math.ceil((offset + length) / PAGE_LENGTH) - first;
    return turns.run(first, count, () => work(first, count));
  }
  return {
    tryWrite: tryPut,
    write(from, offset) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const done: WriteDone = (failure) => (failure === undefined ? resolve() : reject(failure));
      if (tryPut(from, offset, done)) return promise;
      return inTurn(offset, from.length, (...it) => put(from, offset, ...it));
    },
    zero: (offset, length) => inTurn(offset, length, () => clear(offset, length)),
  };
}

/** Puts guests' writes into the log as whole pages. */
function putting(
  { head, reads, turns: pageTurns, size, begun }: LogWritesOptions,
  appends: ReturnType<typeof appending>,
) {
  const { patched, give } = patching(reads, size);
  /** Writes that wait for room: others do not overtake them. */
  let waiting = 0;
  const line = turns();

  /** Runs in the turn of all pages that it touches. */
  async function put(from: Uint8Array, offset: number, first: number, count: number) {
    const end = offset + from.length;
    const last = first + count - 1;
    const start = first * PAGE_LENGTH - offset;
    const isLastPart = end < (last + 1) * PAGE_LENGTH;
    const firstPage = start < 0 || (isLastPart && count === 1);
    const lastPage = isLastPart && count > 1;
    const source: Source = {
      ...{ from, start, first, count },
      firstPage: firstPage ? await patched(first, from, offset) : undefined,
      lastPage: lastPage ? await patched(last, from, offset) : undefined,
    };
    for (let done = 0; done < count; ) {
      const isNext = waiting === 0 && head.room('guest') > 0;
      const { some } = isNext ? part(source, done) : await partInLine(source, done);
      done += await some;
      // This thread may write a long one, part by part.
      if (done < count) await turnOfLoop();
    }
    await begun();
    give(source.firstPage);
    give(source.lastPage);
  }
  function partInLine(source: Source, done: number): Promise<{ readonly some: Promise<number> }> {
    waiting++;
    return line(async () => {
      try {
        while (head.room('guest') === 0) await appends.more('guest');
      } finally {
        waiting--;
      }
      return part(source, done);
    });
  }
  /** Seals as much of it as there is room for, within this call. */
  function part(source: Source, done: number): { readonly some: Promise<number> } {
    const count = Math.min(head.room('guest'), source.count - done);
    return { some: appended(source, done, count) };
  }
  /** The number of pages, of `count`, that were appended: 0 if it must be tried again. */
  async function appended(source: Source, done: number, count: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    try {
      appends.pages(source, done, count, (failure) =>
        failure === undefined ? resolve() : reject(failure),
      );
      await promise;
      return count;
    } catch (cause) {
      await appends.fuller(cause);
      return 0;
    }
  }
  /** Seals whole pages now if they need to wait only for the file. False: put them in their turn. */
  function tryPut(from: Uint8Array, offset: number, done: WriteDone): boolean {
    if (offset % PAGE_LENGTH !== 0 || from.length % PAGE_LENGTH !== 0) return false;
    const first = offset / PAGE_LENGTH;
    const count = from.length / PAGE_LENGTH;
    if (waiting > 0 || head.room('guest') < count) return false;
    const endTurn = pageTurns.tryBegin(first, count);
    if (!endTurn) return false;
    function end(failure?: unknown): void {
      endTurn!();
      done(failure);
    }
    const source = { from, start: 0, first, count, firstPage: undefined, lastPage: undefined };
    try {
      appends.pages(source, 0, count, (failure, sealed) => {
        if (failure !== undefined) {
          // The lent buffer has been given back.
          const bytes = sealed();
          const again = () => put(bytes, offset, first, count);
          appends
            .fuller(failure)
            .then(again)
            .then(() => end(), end);
          return;
        }
        const wait = begun();
        if (wait) wait.then(() => end(), end);
        else end();
      });
    } catch (cause) {
      endTurn();
      throw cause;
    }
    return true;
  }
  return { put, tryPut };
}

/** Handles pages of which a write covers only a part. */
function patching(reads: LogReads, size: number) {
  const pages = bufferPool(SPARE_PAGES);
  return {
    /** The current page, patched with the part of the write that lies in it. Call it in the page's turn. */
    async patched(page: number, from: Uint8Array, offset: number) {
      const body = pages.take(PAGE_LENGTH);
      const start = page * PAGE_LENGTH;
      const length = Math.min(PAGE_LENGTH, size - start);
      const part = body.subarray(0, length);
      body.fill(0, length);
      const begin = Math.max(offset, start);
      const end = Math.min(offset + from.length, start + length);
      if (end - begin < length && !reads.tryRead(part, start, 'memory')) {
        await reads.read(part, start);
      }
      body.set(from.subarray(begin - offset, end - offset), begin - start);
      return body;
    },
    give(page: Uint8Array<ArrayBuffer> | undefined): void {
      if (page) pages.give(page);
    },
  };
}

/** Seals and writes pages, and puts them into the map; all in the turn of the pages. */
function appending({
  head,
  segments,
  map,
  unmapped,
  space,
  begun,
  shortOfSpace,
}: LogWritesOptions) {
  /** The medium is full, although space was taken: waits together with other writes for space, or rejects. */
  async function fuller(cause: unknown): Promise<void> {
    if (!isFull(cause)) throw cause;
    shortOfSpace();
    // The guard, or the log itself, has refused it: waiting would not help.
    if (cause instanceof BlockError) throw cause;
    await space.full(cause);
  }
  const more = (payer: Payer): Promise<void> => head.more(payer).catch(fuller);

  return {
    fuller,
    more,
    /**
     * Seals `count` of the source's pages, from the one at `done` on. Calls `ended`, never before it returns, once
     * the map has them or they failed.
     */
    pages(source: Source, done: number, count: number, ended: PagesEnded): void {
      const batch = head.take(count, 'guest');
      const { segment } = batch;
      const location = locationOf(segment, batch.first + batch.count);
      sealPages(head, batch, source, done, done + count);
      const page = source.first + done;
      // The cleaner, which makes space, may copy these pages while they wait for space.
      const passed = unmapped.begin(page, count);
      segment.live += count;
      const sealed = () => pagesIn(segments, batch, { first: page, count, location });
      function found(): void {
        map.set(page, count, location);
        passed();
        ended(undefined, sealed);
      }
      function failed(cause: unknown, bytes = sealed): void {
        segments.lose(segment.index, count);
        passed();
        ended(cause, bytes);
      }
      batch.waiting.push((failure) => {
        if (failure !== undefined) return failed(failure);
        if (map.ready(page, count)) return found();
        const bytes = sealed();
        loaded(page, count).then(found, (cause: unknown) => failed(cause, () => bytes));
      });
    },
    async zeros(first: number, count: number): Promise<void> {
      // Guests often trim ranges again.
      if (map.isZero(first, count)) return;
      const body = encodeZeros([{ first, count }]);
      for (let isDone = false; !isDone; ) {
        while (head.room('reserve') === 0) await more('reserve');
        const batch = head.take(1, 'reserve');
        head.seal(batch, 'zeros', 0, body);
        isDone = await unmapped
          .during(first, count, () => batch.written.then(() => map.zero(first, count)))
          .then(
            () => true,
            (cause: unknown) => fuller(cause).then(() => false),
          );
      }
      await begun();
    },
  };

  async function loaded(page: number, count: number): Promise<void> {
    while (!map.ready(page, count)) await map.load(page, count);
  }
}

/** Opens pages of a batch that still has its staging buffer. */
function pagesIn(segments: Segments, { first, staging }: Batch, run: LocationRun): Uint8Array {
  const bytes = new Uint8Array(run.count * PAGE_LENGTH);
  const it = stretchOf(segments, run);
  const from = staging.subarray((it.from - first) * PLACE_LENGTH);
  const failed = openStretch(from, it, bytes, run.first * PAGE_LENGTH);
  assert(failed === undefined, 'a sealed slot opens');
  return bytes;
}

/** Seals the pages from `from` up to, not including, `to` of a source, four at a time where possible. */
function sealPages(head: LogHead, batch: Batch, source: Source, from: number, to: number): void {
  const lent = source.from;
  const end = source.lastPage ? source.count - 1 : source.count;
  for (let at = from; at < to; ) {
    const start = source.start + at * PAGE_LENGTH;
    const isQuad = at + QUAD_PLACES <= Math.min(to, end) && start >= 0 && head.mayQuad();
    let body: Uint8Array;
    if (isQuad) body = lent.subarray(start, start + QUAD_LENGTH);
    else if (at === 0 && source.firstPage) body = source.firstPage;
    else if (at === source.count - 1 && source.lastPage) body = source.lastPage;
    else if (lent.length === PAGE_LENGTH) body = lent;
    else body = lent.subarray(start, start + PAGE_LENGTH);
    head.seal(batch, 'pages', source.first + at, body);
    at += isQuad ? QUAD_PLACES : 1;
  }
}
