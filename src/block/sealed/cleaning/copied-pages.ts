import type { PlaceTable } from '../../../formats/store/sessions/overlay-summary.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
  QUAD_PLACES,
} from '../../../formats/store/sessions/overlay-log.ts';
import { allDone } from '../../../lib/all-done.ts';
import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import { readAround } from '../../../sys/files/read-around.ts';
import { damagedPages } from '../segments/damaged-pages.ts';
import { locationOf, type Segment } from '../segments/segments.ts';
import { openSlot } from '../log/stretch.ts';
import type { CleanerOptions } from './cleaner-options.ts';

/** Places examined in one turn of the loop. */
const TURN_PLACES = 64;

/** One slot of a segment that is cleaned, with its bytes. */
interface Slot {
  readonly segment: Segment;
  readonly place: number;
  readonly page: number;
  readonly n: number;
  readonly bytes: Uint8Array;
}

/** Copies the live pages of a segment (those that the map still finds there) to the end of the log. */
export function copiedPages({ log, segments, map, head, unmapped, onDamage }: CleanerOptions) {
  const { places } = log.head;
  let copied = 0;

  async function copy(segment: Segment, table: PlaceTable): Promise<void> {
    for (let from = 1; from < places - 1 && segment.live > 0; from += TURN_PLACES) {
      const to = Math.min(from + TURN_PLACES, places - 1);
      // The last quad may extend beyond the range.
      const bytes = new Uint8Array((to - from + QUAD_PLACES) * PLACE_LENGTH);
      const slots = slotsBetween(segment, table, { from, to, bytes });
      if (slots.length === 0) continue;
      await segments.use(segment, (file) => readAround(file, bytes, from * PLACE_LENGTH));
      await allDone(slots.map(copySlot));
      await turnOfLoop();
    }
  }
  async function copySlot(slot: Slot): Promise<void> {
    const { segment, place, page, n } = slot;
    const location = locationOf(segment, place);
    let body: Uint8Array | undefined;
    for (let at = 0; at < n; ) {
      const wait = obstacle(page + at, n - at);
      if (wait) {
        await wait;
        continue;
      }
      // No other code runs between here and the seal.
      const count = countAt(page + at, n - at, location + at);
      if (count === 0) {
        at++;
        continue;
      }
      body ??= bodyOf(slot);
      if (!body) return;
      const part = body.subarray(at * PAGE_LENGTH, (at + count) * PAGE_LENGTH);
      at += await put(page + at, location + at, part);
    }
  }
  /** Undefined: there is room, and the map is in memory and has everything that was sealed for these pages. */
  function obstacle(page: number, n: number): Promise<void> | undefined {
    const newer = unmapped.passing(page, n);
    if (newer) return newer;
    if (!map.ready(page, n)) return map.load(page, n);
    return head.room('reserve') === 0 ? head.more('reserve') : undefined;
  }
  /** The number of pages that the map finds from this location on, up to the first that lies elsewhere. */
  function countAt(page: number, n: number, location: number): number {
    let count = 0;
    while (count < n && map.get(page + count) === location + count) count++;
    return count;
  }
  /** Undefined: it fails its seal, and stays as evidence. */
  function bodyOf(slot: Slot): Uint8Array | undefined {
    const { segment, page, n } = slot;
    const body = new Uint8Array(QUAD_LENGTH).subarray(0, n * PAGE_LENGTH);
    if (openSlot(segment, slot, body)) return body;
    segment.isDamaged = true;
    const { disk } = log;
    const path = log.segmentPath(segment.number);
    onDamage(disk, damagedPages({ first: page, count: n }, { disk, path }));
    return undefined;
  }
  /**
   * Appends pages, four as a quad where one may begin; returns how many. The map takes the copy only while it still
   * finds the original: what guests write in the meantime lies behind it, and is newer.
   */
  async function put(page: number, location: number, body: Uint8Array): Promise<number> {
    const n = Math.min(body.length / PAGE_LENGTH, head.room('reserve'));
    const batch = head.take(n, 'reserve');
    const place = batch.first + batch.count;
    const unit = n === QUAD_PLACES && head.mayQuad() ? QUAD_LENGTH : PAGE_LENGTH;
    for (let at = 0; at < n * PAGE_LENGTH; at += unit) {
      head.seal(batch, 'pages', page + at / PAGE_LENGTH, body.subarray(at, at + unit));
    }
    batch.segment.live += n;
    let found = 0;
    try {
      await unmapped.during(page, n, async () => {
        await batch.written;
        while (!map.ready(page, n)) await map.load(page, n);
        const there = locationOf(batch.segment, place);
        for (let at = 0; at < n; ) {
          const count = countAt(page + at, n - at, location + at);
          if (count > 0) map.set(page + at, count, there + at);
          found += count;
          at += Math.max(1, count);
        }
      });
    } finally {
      if (found < n) segments.lose(batch.segment.index, n - found);
      copied += found;
    }
    return n;
  }
  return {
    copy,
    get copied() {
      return copied;
    },
  };
}

/** The slots that may be live; the map is asked again before each is copied. */
function slotsBetween(
  segment: Segment,
  table: PlaceTable,
  { from, to, bytes }: { readonly from: number; readonly to: number; readonly bytes: Uint8Array },
): Slot[] {
  const slots: Slot[] = [];
  for (let place = from; place < to; place++) {
    if (table.kindAt(place) !== 'pages') continue;
    const [page, n] = [table.pageAt(place), table.countAt(place)];
    const at = (place - from) * PLACE_LENGTH;
    slots.push({ segment, place, page, n, bytes: bytes.subarray(at, at + n * PLACE_LENGTH) });
  }
  return slots;
}
