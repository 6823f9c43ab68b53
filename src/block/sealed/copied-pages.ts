import type { PlaceTable } from '../../formats/store/overlay-bodies.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
  QUAD_PLACES,
} from '../../formats/store/overlay-log.ts';
import { allDone } from '../../lib/all-done.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';
import type { CleanerOptions } from './clean.ts';
import { freeTurn } from './free-turn.ts';
import { locationOf, type Segment } from './segments.ts';
import { openSlot } from './stretch.ts';

/** Places that are looked at in one turn of the loop. */
const TURN_PLACES = 64;

/** One slot of a segment that is cleaned, with its bytes. */
interface Slot {
  readonly segment: Segment;
  readonly place: number;
  readonly page: number;
  readonly n: number;
  readonly bytes: Uint8Array;
}

/**
 * Copies the pages that the map still finds in a segment to the end of the log. False: some of them stay, for requests
 * to them take their time.
 */
export function copiedPages({ log, segments, map, head, turns, onDamage }: CleanerOptions) {
  const { places } = log.head;
  let copied = 0;

  async function copy(segment: Segment, table: PlaceTable): Promise<boolean> {
    let isDone = true;
    for (let from = 1; from < places - 1 && segment.live > 0; from += TURN_PLACES) {
      const to = Math.min(from + TURN_PLACES, places - 1);
      // The last quad may reach further.
      const bytes = new Uint8Array((to - from + QUAD_PLACES) * PLACE_LENGTH);
      const slots = slotsBetween(segment, table, { from, to, bytes });
      if (slots.length === 0) continue;
      await segments.use(segment, (file) => file.read(bytes, from * PLACE_LENGTH));
      const ends = slots.map((it) => freeTurn(turns, it.page, it.n, () => copySlot(it)));
      if (!(await allDone(ends)).every(Boolean)) isDone = false;
      await turnOfLoop();
    }
    return isDone;
  }
  /**
   * In the turn of its pages: a write that is sealed and that the map does not have yet would otherwise lie before the
   * copy of what it replaces, and lose.
   */
  async function copySlot(slot: Slot): Promise<void> {
    const { segment, place, page, n } = slot;
    while (!map.ready(page, n)) await map.load(page, n);
    const location = locationOf(segment, place);
    const live = Array.from({ length: n }, (_, at) => at).filter(
      (at) => map.get(page + at) === location + at,
    );
    if (live.length === 0) return;
    const body = new Uint8Array(QUAD_LENGTH).subarray(0, n * PAGE_LENGTH);
    if (!openSlot(segment, slot, body)) {
      // It stays, as the proof of what it was.
      segment.isDamaged = true;
      const where = `${log.disk} page ${page}`;
      onDamage(
        where,
        `${log.segmentPath(segment.number)}, place ${place}: ${where} fails its seal`,
      );
      return;
    }
    if (live.length === n) return put(page, body);
    for (const at of live) {
      await put(page + at, body.subarray(at * PAGE_LENGTH, (at + 1) * PAGE_LENGTH));
    }
  }
  /** Appends pages, four as a quad where one may begin. */
  async function put(page: number, body: Uint8Array): Promise<void> {
    while (head.room('reserve') === 0) await head.more('reserve');
    const n = Math.min(body.length / PAGE_LENGTH, head.room('reserve'));
    const batch = head.take(n, 'reserve');
    const place = batch.first + batch.count;
    const unit = n === QUAD_PLACES && head.mayQuad() ? QUAD_LENGTH : PAGE_LENGTH;
    for (let at = 0; at < n * PAGE_LENGTH; at += unit) {
      head.seal(batch, 'pages', page + at / PAGE_LENGTH, body.subarray(at, at + unit));
    }
    await batch.written;
    while (!map.ready(page, n)) await map.load(page, n);
    map.set(page, n, locationOf(batch.segment, place));
    batch.segment.live += n;
    copied += n;
    if (n * PAGE_LENGTH < body.length) await put(page + n, body.subarray(n * PAGE_LENGTH));
  }
  /** Those that may count; the map is asked again in their turns. */
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
  return {
    copy,
    get copied() {
      return copied;
    },
  };
}
