import { FormatError } from '../../formats/format-error.ts';
import {
  decodeFreed,
  decodeVoids,
  decodeZeros,
  encodeFreed,
  encodeVoids,
  encodeZeros,
  type PlaceTable,
  ZERO_RUNS_MAX,
  type ZeroRun,
} from '../../formats/store/overlay-bodies.ts';
import { PAGE_LENGTH, PLACE_LENGTH, type SlotKind } from '../../formats/store/overlay-log.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';
import type { Batch } from './batches.ts';
import type { CleanerOptions } from './clean.ts';
import { freeTurn } from './free-turn.ts';
import { appendRecord } from './log-flush.ts';
import { ZERO } from './map/page-locations.ts';
import type { Segment } from './segments.ts';

/** Pages that are looked at in one turn at first; where little is found, more. */
const LOOK_PAGES = 2 ** 16;
/** Runs that one turn looks at, about. */
const LOOK_RUNS = 4096;

/** Copies to the end of the log what the records of a segment say and still counts. False: some could not be yet. */
export function copiedRecords({ log, segments, map, head, turns }: CleanerOptions) {
  const { places } = log.head;

  async function copy(segment: Segment, table: PlaceTable): Promise<boolean> {
    let isDone = true;
    for (let place = 1; place < places - 1; place++) {
      const kind = table.kindAt(place);
      if (kind !== 'zeros' && kind !== 'freed' && kind !== 'voids') continue;
      const body = await bodyOf(segment, place, kind);
      if (!body) {
        segment.isDamaged = true;
        continue;
      }
      if (kind === 'zeros') isDone = (await copyZeros(decodeZeros(body, log.pages))) && isDone;
      else if (kind === 'freed') await copyFreed(decodeFreed(body));
      else {
        const needed = decodeVoids(body).filter((it) => segments.numbered(it.segment));
        if (needed.length > 0) await appendRecord(head, kind, encodeVoids(needed));
      }
    }
    return isDone;
  }
  async function bodyOf(
    segment: Segment,
    place: number,
    kind: SlotKind,
  ): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(PLACE_LENGTH);
    const body = new Uint8Array(PAGE_LENGTH);
    await segments.use(segment, (file) => file.read(bytes, place * PLACE_LENGTH));
    try {
      return segment.codec.open(bytes, place, body)?.kind === kind ? body : undefined;
    } catch (cause) {
      if (cause instanceof FormatError) return undefined;
      throw cause;
    }
  }
  /**
   * As long as a segment is there, or the newest list names it: a power cut may bring back its file, or a reader of
   * that list may look for it.
   */
  async function copyFreed(numbers: readonly number[]): Promise<void> {
    const needed = numbers.filter((it) => segments.numbered(it) || head.listed.has(it));
    if (needed.length > 0) await appendRecord(head, 'freed', encodeFreed(needed));
  }
  /** What of these runs still is zeros. */
  async function copyZeros(runs: readonly ZeroRun[]): Promise<boolean> {
    for (const { first, count } of runs) {
      let look = LOOK_PAGES;
      for (let page = first; page < first + count; ) {
        const some = Math.min(look, first + count - page);
        let found = 0;
        const isFree = await freeTurn(turns, page, some, async () => {
          found = await zerosIn(page, some);
        });
        if (!isFree) return false;
        page += some;
        look = found < LOOK_RUNS / 4 ? look * 2 : Math.max(1, Math.floor(look / 2));
        await turnOfLoop();
      }
    }
    return true;
  }
  /**
   * In the turn of these pages, as long as it takes to seal: a write that comes after it lies behind. Answers how many
   * runs there were.
   */
  async function zerosIn(first: number, count: number): Promise<number> {
    while (!map.ready(first, count)) await map.load(first, count);
    const runs = map.runs(first, count);
    const zeros = runs.filter(({ location }) => location === ZERO);
    for (let at = 0; at < zeros.length; at += ZERO_RUNS_MAX) {
      const batch = await sealed(zeros.slice(at, at + ZERO_RUNS_MAX));
      await batch.written;
    }
    return runs.length;
  }
  async function sealed(runs: readonly ZeroRun[]): Promise<Batch> {
    while (head.room('reserve') === 0) await head.more('reserve');
    const batch = head.take(1, 'reserve');
    head.seal(batch, 'zeros', 0, encodeZeros(runs));
    return batch;
  }
  return { copy };
}
