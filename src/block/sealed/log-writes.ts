import { encodeZeros } from '../../formats/store/overlay-bodies.ts';
import { PAGE_LENGTH, QUAD_LENGTH, QUAD_PLACES } from '../../formats/store/overlay-log.ts';
import { bufferPool } from '../../lib/buffer-pool.ts';
import type { RangeTurns } from '../../lib/range-turns.ts';
import type { SpaceGuard } from '../space-guard.ts';
import type { Batch } from './batches.ts';
import { isFull } from './log-flush.ts';
import type { LogHead, Payer } from './log-head.ts';
import type { LogReads } from './log-reads.ts';
import type { PageLocations } from './map/page-locations.ts';
import { locationOf } from './segments.ts';
import type { Unmapped } from './unmapped.ts';

export interface LogWrites {
  write(from: Uint8Array, offset: number): Promise<void>;
  zero(offset: number, length: number): Promise<void>;
}

export interface LogWritesOptions {
  readonly head: LogHead;
  readonly map: PageLocations;
  readonly reads: LogReads;
  readonly turns: RangeTurns;
  readonly unmapped: Unmapped;
  readonly space: SpaceGuard;
  /** Bytes of the disk. */
  readonly size: number;
  /** Awaited before an answer that lies in the log. */
  readonly begun: () => Promise<void> | undefined;
  /** A write waits for space. */
  readonly shortOfSpace: () => void;
}

/** What is sealed of one write: whole pages, the first and last ones patched where it covers a part of them. */
interface Source {
  readonly from: Uint8Array;
  /** Where the first page begins in `from`; negative where that is patched. */
  readonly start: number;
  readonly first: number;
  readonly count: number;
  readonly firstPage: Uint8Array<ArrayBuffer> | undefined;
  readonly lastPage: Uint8Array<ArrayBuffer> | undefined;
}

const SPARE_PAGES = 64;

export function logWrites(options: LogWritesOptions): LogWrites {
  const { head, reads, turns, size } = options;
  const appends = appending(options);
  const pages = bufferPool(SPARE_PAGES);

  /** A page as it is, patched with what of the write lies in it. In the page's turn. */
  async function patched(page: number, from: Uint8Array, offset: number) {
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
  }
  /** In the turn of all pages that it touches. */
  async function put(from: Uint8Array, offset: number, first: number, count: number) {
    const end = offset + from.length;
    const last = first + count - 1;
    const start = first * PAGE_LENGTH - offset;
    const isLastPart = end < (last + 1) * PAGE_LENGTH;
    const firstPage = start < 0 || (isLastPart && count === 1);
    const lastPage = isLastPart && count > 1;
    const source: Source = {
      from,
      start,
      first,
      count,
      firstPage: firstPage ? await patched(first, from, offset) : undefined,
      lastPage: lastPage ? await patched(last, from, offset) : undefined,
    };
    for (let done = 0; done < count; ) {
      const some = head.room('guest');
      if (some === 0) await appends.more('guest');
      else done += await appends.pages(source, done, Math.min(some, count - done));
    }
    if (source.firstPage) pages.give(source.firstPage);
    if (source.lastPage) pages.give(source.lastPage);
  }
  async function clear(offset: number, length: number): Promise<void> {
    const end = offset + length;
    const first = Math.ceil(offset / PAGE_LENGTH);
    const stop = end === size ? Math.ceil(end / PAGE_LENGTH) : Math.floor(end / PAGE_LENGTH);
    if (stop <= first) return clearPart(offset, length);
    if (offset < first * PAGE_LENGTH) await clearPart(offset, first * PAGE_LENGTH - offset);
    await appends.zeros(first, stop - first);
    if (stop * PAGE_LENGTH < end) await clearPart(stop * PAGE_LENGTH, end - stop * PAGE_LENGTH);
  }
  /** Less than a page, or two halves of neighbours. */
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
    write: (from, offset) => inTurn(offset, from.length, (...it) => put(from, offset, ...it)),
    zero: (offset, length) => inTurn(offset, length, () => clear(offset, length)),
  };
}

/** What is sealed, written, and found by the map from then on; all in the turn of its pages. */
function appending({ head, map, unmapped, space, begun, shortOfSpace }: LogWritesOptions) {
  /** The medium is full, although space was taken: waits with those who wait for space, or rejects. */
  async function fuller(cause: unknown): Promise<void> {
    if (!isFull(cause)) throw cause;
    shortOfSpace();
    await space.full(cause);
  }
  /**
   * Whether the batch came to be written and the map knows it; if not, but space may come, it is sealed again.
   * Only the wait for space is outside of `unmapped`: the cleaner, which makes space, may copy these pages then.
   */
  function isMapped(
    { written }: Batch,
    [first, count]: readonly [number, number],
    known: () => Promise<void>,
  ): Promise<boolean> {
    return unmapped
      .during(first, count, () => written.then(known))
      .then(
        () => true,
        async (cause: unknown) => {
          await fuller(cause);
          return false;
        },
      );
  }
  return {
    more: (payer: Payer) => head.more(payer).catch(fuller),
    /** `count` of the source's pages, from the one at `done` on; answers how many of them were written. */
    async pages(source: Source, done: number, count: number): Promise<number> {
      const batch = head.take(count, 'guest');
      const place = batch.first + batch.count;
      sealPages(head, batch, source, done, done + count);
      const page = source.first + done;
      const isDone = await isMapped(batch, [page, count], async () => {
        while (!map.ready(page, count)) await map.load(page, count);
        map.set(page, count, locationOf(batch.segment, place));
        batch.segment.live += count;
      });
      if (!isDone) return 0;
      await begun();
      return count;
    },
    async zeros(first: number, count: number): Promise<void> {
      // Guests trim again what they have trimmed.
      if (map.isZero(first, count)) return;
      const body = encodeZeros([{ first, count }]);
      for (let isDone = false; !isDone; ) {
        while (head.room('reserve') === 0) await this.more('reserve');
        const batch = head.take(1, 'reserve');
        head.seal(batch, 'zeros', 0, body);
        isDone = await isMapped(batch, [first, count], () => map.zero(first, count));
      }
      await begun();
    },
  };
}

/** Seals the pages `from` to before `to` of a source, four at a time where that is possible. */
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
