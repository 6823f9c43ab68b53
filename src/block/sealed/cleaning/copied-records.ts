import { FormatError } from '../../../formats/format-error.ts';
import {
  decodeFreed,
  decodeVoids,
  decodeZeros,
  encodeFreed,
  encodeVoids,
  encodeZeros,
  RECORD_COPIES,
  ZERO_RUNS_MAX,
  type ZeroRun,
} from '../../../formats/store/sessions/overlay-bodies.ts';
import type { PlaceTable } from '../../../formats/store/sessions/overlay-summary.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  type SlotKind,
} from '../../../formats/store/sessions/overlay-log.ts';
import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import { readAround } from '../../../sys/files/read-around.ts';
import { appendRecord } from '../log/log-flush.ts';
import { type LocationRun, ZERO } from '../map/page-locations.ts';
import type { Segment } from '../segments/segments.ts';
import type { CleanerOptions } from './cleaner-options.ts';

/** One of the copies of a record, and the part that still counts, as the bodies of a new record. */
interface RecordNow {
  readonly copy: number;
  readonly bodies: readonly Uint8Array[];
}

/** Pages examined in one turn at first; more where little is found. */
const LOOK_PAGES = 2 ** 16;
/** Approximate number of runs that one turn examines. */
const LOOK_RUNS = 4096;

/** Copies the parts of a segment's records that still count to the end of the log. */
export function copiedRecords({ log, segments, map, head, unmapped }: CleanerOptions) {
  const { places } = log.head;

  async function copy(segment: Segment, table: PlaceTable): Promise<void> {
    for (let place = 1; place < places - 1; place++) {
      const kind = table.kindAt(place);
      if (kind === 'zeros') {
        const body = await bodyOf(segment, place, kind);
        if (body) await copyZeros(decodeZeros(body, log.pages));
        else segment.isDamaged = true;
      } else if (kind === 'freed' || kind === 'voids') {
        place = await copyRecord(segment, table, place, kind);
      }
    }
  }
  /** Copies the live part of the record at `place`, from any of its copies; returns the last place of the record. */
  async function copyRecord(
    segment: Segment,
    table: PlaceTable,
    place: number,
    kind: 'freed' | 'voids',
  ): Promise<number> {
    for (let at = place; at < place + RECORD_COPIES && table.kindAt(at) === kind; at++) {
      const body = await bodyOf(segment, at, kind);
      if (!body) continue;
      const { copy, bodies } = kind === 'freed' ? freedNow(body) : voidsNow(body);
      // Otherwise it is the next record: no copy of this one is left.
      if (at - copy > place) break;
      if (bodies.length > 0) await appendRecord(head, kind, bodies);
      return at - copy + RECORD_COPIES - 1;
    }
    segment.isDamaged = true;
    return place;
  }
  async function bodyOf(
    segment: Segment,
    place: number,
    kind: SlotKind,
  ): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(PLACE_LENGTH);
    const body = new Uint8Array(PAGE_LENGTH);
    await segments.use(segment, (file) => readAround(file, bytes, place * PLACE_LENGTH));
    try {
      return segment.codec.open(bytes, place, body)?.kind === kind ? body : undefined;
    } catch (cause) {
      if (cause instanceof FormatError) return undefined;
      throw cause;
    }
  }
  /**
   * A freed segment counts as long as its file exists, or the newest list names it: a power cut may bring back its
   * file, or a reader of that list may look for it.
   */
  function freedNow(body: Uint8Array): RecordNow {
    const { copy, list } = decodeFreed(body);
    const some = list.filter(({ number: it }) => segments.numbered(it) || head.listed.has(it));
    return { copy, bodies: some.length > 0 ? encodeFreed(some) : [] };
  }
  function voidsNow(body: Uint8Array): RecordNow {
    const { copy, list } = decodeVoids(body);
    const some = list.filter((it) => segments.numbered(it.segment));
    return { copy, bodies: some.length > 0 ? encodeVoids(some) : [] };
  }
  /** Copies the parts of these runs that are still zeros. */
  async function copyZeros(runs: readonly ZeroRun[]): Promise<void> {
    for (const { first, count } of runs) {
      let look = LOOK_PAGES;
      for (let page = first; page < first + count; ) {
        const some = Math.min(look, first + count - page);
        const newer = unmapped.passing(page, some);
        if (newer && some > 1) {
          look = Math.floor(some / 2);
        } else if (newer) {
          await newer;
        } else if (!map.ready(page, some)) {
          await map.load(page, some);
        } else if (head.room('reserve') === 0) {
          await head.more('reserve');
        } else {
          // No other code runs between the look at the map and the seal: later writes lie behind it.
          const found = map.runs(page, some);
          page = await putZeros(found);
          look = found.length < LOOK_RUNS / 4 ? look * 2 : Math.max(1, Math.floor(look / 2));
          await turnOfLoop();
        }
      }
    }
  }
  /** Appends those runs that are zeros, as many as fit in one slot; returns the page after the last one examined. */
  async function putZeros(runs: readonly LocationRun[]): Promise<number> {
    const zeros = runs.filter(({ location }) => location === ZERO);
    const some = zeros.slice(0, ZERO_RUNS_MAX);
    const last = zeros.length > some.length ? some.at(-1)! : runs.at(-1)!;
    if (some.length > 0) {
      const batch = head.take(1, 'reserve');
      head.seal(batch, 'zeros', 0, encodeZeros(some));
      await batch.written;
    }
    return last.first + last.count;
  }
  return { copy };
}
