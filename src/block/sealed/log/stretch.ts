import { FormatError } from '../../../formats/format-error.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
} from '../../../formats/store/sessions/overlay-log.ts';
import type { LocationRun } from '../map/page-locations.ts';
import { type Segment, type Segments, slotPlaces, slotStart } from '../segments/segments.ts';

/** Places of neighboring slots, with the pages in them that are needed. */
export interface Stretch {
  readonly segment: Segment;
  /** Whole slots: from `from` up to, not including, `to`. */
  readonly from: number;
  readonly to: number;
  /** The first page that is needed, and its place. */
  readonly page: number;
  readonly place: number;
  readonly count: number;
}

/** Holds the longest slot; used within one call. */
const scratch = new Uint8Array(QUAD_LENGTH);

/** The places of the pages of a run. */
export function stretchOf(segments: Segments, { first, count, location }: LocationRun): Stretch {
  const segment = segments.at(location >>> 14)!;
  const place = location & 0x3fff;
  const from = slotStart(segment, place);
  const last = slotStart(segment, place + count - 1);
  return { segment, from, to: last + slotPlaces(segment, last), page: first, place, count };
}

/**
 * Opens the slots of a stretch, whose bytes were read, and copies their pages to `into`; `offset` is the position of
 * `into` on the disk. Returns the place of the first slot that fails its seal, or undefined.
 */
export function openStretch(
  bytes: Uint8Array,
  it: Stretch,
  into: Uint8Array,
  offset: number,
): number | undefined {
  const { segment, from, to, page, place, count } = it;
  for (let start = from; start < to; ) {
    const n = slotPlaces(segment, start);
    const first = page + (start - place);
    const at = first * PAGE_LENGTH - offset;
    const length = n * PAGE_LENGTH;
    const isInside = at >= 0 && at + length <= into.length;
    const isWanted = isInside && start >= place && start + n <= place + count;
    const body = isWanted ? into.subarray(at, at + length) : scratch.subarray(0, length);
    const slot = {
      place: start,
      page: first,
      bytes: bytes.subarray((start - from) * PLACE_LENGTH),
    };
    if (!openSlot(segment, slot, body)) return start;
    if (!isWanted) copyPart(body, it, { first, n, into, offset });
    start += n;
  }
  return undefined;
}

/** Fills `body` from the slot at `place` and returns whether that is whole and belongs to `page`. */
export function openSlot(
  { codec }: Segment,
  {
    place,
    page,
    bytes,
  }: { readonly place: number; readonly page: number; readonly bytes: Uint8Array },
  body: Uint8Array,
): boolean {
  try {
    const slot = codec.open(bytes, place, body);
    return slot?.kind === 'pages' && slot.page === page;
  } catch (cause) {
    if (cause instanceof FormatError) return false;
    throw cause;
  }
}

/** Copies the needed part of one slot's pages. */
function copyPart(
  body: Uint8Array,
  { page, count }: Stretch,
  {
    first,
    n,
    into,
    offset,
  }: {
    readonly first: number;
    readonly n: number;
    readonly into: Uint8Array;
    readonly offset: number;
  },
): void {
  const begin = first * PAGE_LENGTH;
  const from = Math.max(begin, page * PAGE_LENGTH, offset);
  const to = Math.min(
    (first + n) * PAGE_LENGTH,
    (page + count) * PAGE_LENGTH,
    offset + into.length,
  );
  into.set(body.subarray(from - begin, to - begin), from - offset);
}

/** The part of `into` that a run of pages covers, and its offset on the disk. */
export function partOf({ first, count }: LocationRun, into: Uint8Array, offset: number) {
  const at = Math.max(offset, first * PAGE_LENGTH);
  const end = Math.min(offset + into.length, (first + count) * PAGE_LENGTH);
  return { part: into.subarray(at - offset, end - offset), at };
}
