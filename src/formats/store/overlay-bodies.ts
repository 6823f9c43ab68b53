import { assert } from '../../lib/assert.ts';
import { FormatError } from '../format-error.ts';
import { checkZero } from '../spare-bytes.ts';
import {
  encodePreface,
  getU48,
  KIND,
  mayBeginQuad,
  PAGE_LENGTH,
  PAGE_NUMBER_MAX,
  PLACE_LENGTH,
  type Preface,
  putU48,
  QUAD_PLACES,
  type SlotCodec,
  type SlotKind,
  slotKind,
} from './overlay-log.ts';

// What the bodies of slots say that hold no pages, and summaries. Grammar: overlay-log.md.
/*
 *   zeros:  0 u16 count  2 6 zero  8 runs: u48 first page, u48 pages
 *   birth:  0 u16 count  2 u16 index  4 u16 bodies  6 2 zero  8 ranges: u32 first, u32 last segment
 *   freed:  0 u16 count  2 6 zero  8 u32 segments
 *   voids:  0 u16 count  2 6 zero  8 runs: u32 segment, u16 first place, u16 place after the last
 *   summary: entries, one for each place: u48 page  u8 kind  u8 n
 */

export interface ZeroRun {
  readonly first: number;
  readonly count: number;
}

/** Numbers of segments, both ends included. */
export interface SegmentRange {
  readonly first: number;
  readonly last: number;
}

/** One of the bodies that together list the segments that exist. */
export interface BirthBody {
  readonly index: number;
  readonly bodies: number;
  readonly ranges: readonly SegmentRange[];
}

/** Places that were used up and hold nothing: `from` to before `to`. */
export interface VoidPlaces {
  readonly segment: number;
  readonly from: number;
  readonly to: number;
}

const HEADER_LENGTH = 8;
const RUN_LENGTH = 12;
const RANGE_LENGTH = 8;
const NUMBER_LENGTH = 4;
const ENTRY_LENGTH = 8;
const ENTRIES = PAGE_LENGTH / ENTRY_LENGTH;
/** So many exist at once, at most: a location has 18 bits for the segment. */
export const SEGMENTS_MAX = 2 ** 18;
export const ZERO_RUNS_MAX = Math.floor((PAGE_LENGTH - HEADER_LENGTH) / RUN_LENGTH);
export const BIRTH_RANGES_MAX = Math.floor((PAGE_LENGTH - HEADER_LENGTH) / RANGE_LENGTH);
export const VOIDS_MAX = Math.floor((PAGE_LENGTH - HEADER_LENGTH) / RANGE_LENGTH);
export const FREED_MAX = Math.floor((PAGE_LENGTH - HEADER_LENGTH) / NUMBER_LENGTH);

/** 1 to ZERO_RUNS_MAX runs. */
export function encodeZeros(runs: readonly ZeroRun[]): Uint8Array {
  const { bytes, view } = newBody(runs.length, ZERO_RUNS_MAX);
  runs.forEach(({ first, count }, index) => {
    assert(count > 0 && first + count <= PAGE_NUMBER_MAX + 1, `zeros ${first}+${count}`);
    putU48(view, HEADER_LENGTH + index * RUN_LENGTH, first);
    putU48(view, HEADER_LENGTH + index * RUN_LENGTH + 6, count);
  });
  return bytes;
}

/** `pages`: how many the disk has. */
export function decodeZeros(body: Uint8Array, pages: number): readonly ZeroRun[] {
  const what = 'zeros';
  const { view, count } = openBody(body, { what, itemLength: RUN_LENGTH, max: ZERO_RUNS_MAX });
  checkZero(body, { from: 2, to: HEADER_LENGTH }, what);
  return Array.from({ length: count }, (_, index) => {
    const first = getU48(view, HEADER_LENGTH + index * RUN_LENGTH);
    const run = getU48(view, HEADER_LENGTH + index * RUN_LENGTH + 6);
    if (run === 0 || first + run > pages) {
      throw new FormatError('CORRUPT', `${what}: run ${first}+${run} of ${pages} pages`);
    }
    return { first, count: run };
  });
}

/** The bodies, in order, of the birth slots that list these segments: ascending, at least one. */
export function encodeBirth(segments: Iterable<number>): readonly Uint8Array[] {
  const ranges = rangesOf(segments);
  const bodies = Math.ceil(ranges.length / BIRTH_RANGES_MAX);
  return Array.from({ length: bodies }, (_, index) => {
    const here = ranges.slice(index * BIRTH_RANGES_MAX, (index + 1) * BIRTH_RANGES_MAX);
    const { bytes, view } = newBody(here.length, BIRTH_RANGES_MAX);
    view.setUint16(2, index, true);
    view.setUint16(4, bodies, true);
    here.forEach(({ first, last }, at) => {
      view.setUint32(HEADER_LENGTH + at * RANGE_LENGTH, first, true);
      view.setUint32(HEADER_LENGTH + at * RANGE_LENGTH + 4, last, true);
    });
    return bytes;
  });
}

/** Ranges ascend within one body; `joinBirth` checks that they do from one to the next. */
export function decodeBirth(body: Uint8Array): BirthBody {
  const what = 'birth';
  const limits = { what, itemLength: RANGE_LENGTH, max: BIRTH_RANGES_MAX };
  const { view, count } = openBody(body, limits);
  checkZero(body, { from: 6, to: HEADER_LENGTH }, what);
  const index = view.getUint16(2, true);
  const bodies = view.getUint16(4, true);
  if (index >= bodies) throw new FormatError('CORRUPT', `${what}: body ${index} of ${bodies}`);
  let free = 0;
  const ranges = Array.from({ length: count }, (_, at) => {
    const first = view.getUint32(HEADER_LENGTH + at * RANGE_LENGTH, true);
    const last = view.getUint32(HEADER_LENGTH + at * RANGE_LENGTH + 4, true);
    if (first < free || last < first) {
      throw new FormatError('CORRUPT', `${what}: range ${first}..${last} after ${free - 1}`);
    }
    free = last + 1;
    return { first, last };
  });
  return { index, bodies, ranges };
}

/** What all bodies of one segment list, in the order of their slots. */
export function joinBirth(bodies: readonly BirthBody[]): readonly SegmentRange[] {
  const ranges: SegmentRange[] = [];
  let count = 0;
  for (const [at, { index, bodies: of, ranges: here }] of bodies.entries()) {
    const isNext = (here[0]?.first ?? 0) > (ranges.at(-1)?.last ?? -1);
    for (const { first, last } of here) count += last - first + 1;
    if (index !== at || of !== bodies.length || !isNext || count > SEGMENTS_MAX) {
      const found = `body ${index} of ${of} in slot ${at} of ${bodies.length}`;
      throw new FormatError('CORRUPT', `birth: ${found}, ${count} segments`);
    }
    ranges.push(...here);
  }
  return ranges;
}

/** Numbers of segments: 1 to FREED_MAX. */
export function encodeFreed(segments: readonly number[]): Uint8Array {
  const { bytes, view } = newBody(segments.length, FREED_MAX);
  segments.forEach((number, at) =>
    view.setUint32(HEADER_LENGTH + at * NUMBER_LENGTH, number, true),
  );
  return bytes;
}

export function decodeFreed(body: Uint8Array): readonly number[] {
  const what = 'freed';
  const { view, count } = openBody(body, { what, itemLength: NUMBER_LENGTH, max: FREED_MAX });
  checkZero(body, { from: 2, to: HEADER_LENGTH }, what);
  return Array.from({ length: count }, (_, at) =>
    view.getUint32(HEADER_LENGTH + at * NUMBER_LENGTH, true),
  );
}

/** 1 to VOIDS_MAX runs. */
export function encodeVoids(runs: readonly VoidPlaces[]): Uint8Array {
  const { bytes, view } = newBody(runs.length, VOIDS_MAX);
  runs.forEach(({ segment, from, to }, index) => {
    const at = HEADER_LENGTH + index * RANGE_LENGTH;
    assert(from > 0 && from < to, `void places ${from} to ${to}`);
    view.setUint32(at, segment, true);
    view.setUint16(at + 4, from, true);
    view.setUint16(at + 6, to, true);
  });
  return bytes;
}

export function decodeVoids(body: Uint8Array): readonly VoidPlaces[] {
  const what = 'voids';
  const { view, count } = openBody(body, { what, itemLength: RANGE_LENGTH, max: VOIDS_MAX });
  checkZero(body, { from: 2, to: HEADER_LENGTH }, what);
  return Array.from({ length: count }, (_, index) => {
    const at = HEADER_LENGTH + index * RANGE_LENGTH;
    const from = view.getUint16(at + 4, true);
    const to = view.getUint16(at + 6, true);
    if (from === 0 || from >= to) {
      throw new FormatError('CORRUPT', `${what}: places ${from} to ${to}`);
    }
    return { segment: view.getUint32(at, true), from, to };
  });
}

/** What lies in each place of one segment, in memory as in its summary: 8 bytes a place. */
export interface PlaceTable {
  readonly places: number;
  /** Undefined: void, a preface, or a later place of a quad. */
  kindAt(place: number): SlotKind | undefined;
  /** As in the slot's trailer, like `countAt`; only where a kind is. */
  pageAt(place: number): number;
  countAt(place: number): number;
  set(
    place: number,
    slot: { readonly kind: SlotKind; readonly page: number; readonly n: number },
  ): void;
  /** Those from `from` to before `to` hold nothing. */
  clear(from: number, to: number): void;
  /** The entries, lent; after the last one zeros, up to a whole number of bodies. */
  readonly bytes: Uint8Array;
}

export function placeTable(places: number): PlaceTable {
  const bytes = new Uint8Array(summaryBodies(places) * PAGE_LENGTH);
  const view = new DataView(bytes.buffer);
  return {
    places,
    bytes,
    kindAt: (place) => slotKind(bytes[place * ENTRY_LENGTH + 6]!),
    pageAt: (place) => getU48(view, place * ENTRY_LENGTH),
    countAt: (place) => bytes[place * ENTRY_LENGTH + 7]!,
    clear: (from, to) => void bytes.fill(0, from * ENTRY_LENGTH, to * ENTRY_LENGTH),
    set(place, { kind, page, n }) {
      assert(place > 0 && place + n < places, `slot at place ${place} of ${places}`);
      putU48(view, place * ENTRY_LENGTH, page);
      bytes[place * ENTRY_LENGTH + 6] = KIND[kind];
      bytes[place * ENTRY_LENGTH + 7] = n;
    },
  };
}

/** Bytes of a whole summary. */
export function summaryLength(places: number): number {
  return (1 + summaryBodies(places)) * PLACE_LENGTH;
}

/**
 * The whole file, for a segment that is wholly durable. The salt is fresh and the summary's own, and `codec` seals
 * under the key that it gives, with `of: 'summary'`.
 */
export function encodeSummary(
  table: PlaceTable,
  { number, suite, salt }: Omit<Preface, 'of'>,
  codec: SlotCodec,
): Uint8Array {
  const bytes = new Uint8Array(summaryLength(table.places));
  bytes.set(encodePreface({ of: 'summary', suite, number, salt }));
  const durable = { segment: number, place: table.places };
  for (let place = 1; place <= summaryBodies(table.places); place++) {
    const body = table.bytes.subarray((place - 1) * PAGE_LENGTH, place * PAGE_LENGTH);
    const into = bytes.subarray(place * PLACE_LENGTH, (place + 1) * PLACE_LENGTH);
    codec.seal(into, { place, kind: 'summary', page: number, durable }, body);
  }
  return bytes;
}

/**
 * Reads the whole file, whose preface the caller has decoded for the key of `codec`. `number` and `places` are what the
 * file's name and the head say; `pages` is how many the disk has.
 */
export function decodeSummary(
  bytes: Uint8Array,
  {
    number,
    places,
    pages,
  }: { readonly number: number; readonly places: number; readonly pages: number },
  codec: SlotCodec,
): PlaceTable {
  const what = `summary of segment ${number}`;
  const length = summaryLength(places);
  if (bytes.length !== length) {
    const code = bytes.length < length ? 'TRUNCATED' : 'CORRUPT';
    throw new FormatError(code, `${what}: ${bytes.length} bytes, not ${length}`);
  }
  const table = placeTable(places);
  for (let place = 1; place <= summaryBodies(places); place++) {
    const into = table.bytes.subarray((place - 1) * PAGE_LENGTH, place * PAGE_LENGTH);
    const slot = codec.open(bytes.subarray(place * PLACE_LENGTH), place, into);
    if (!slot) throw new FormatError('CORRUPT', `${what}: slot ${place} fails its seal`);
    const { page, durable } = slot;
    if (page !== number || durable.segment !== number || durable.place !== places) {
      const found = `${page}, durable to ${durable.segment}:${durable.place}`;
      throw new FormatError('CORRUPT', `${what}: slot ${place} is of segment ${found}`);
    }
  }
  checkEntries(table, { number, pages, what });
  return table;
}

function checkEntries(
  table: PlaceTable,
  {
    number,
    pages,
    what,
  }: { readonly number: number; readonly pages: number; readonly what: string },
): void {
  const { places, bytes } = table;
  let free = 1;
  for (let place = 0; place < bytes.length / ENTRY_LENGTH; place++) {
    const at = place * ENTRY_LENGTH;
    const kind = table.kindAt(place);
    const n = table.countAt(place);
    if (kind === undefined) {
      checkZero(bytes, { from: at, to: at + ENTRY_LENGTH }, `${what}, place ${place}`);
      continue;
    }
    const page = table.pageAt(place);
    const isQuad = kind === 'pages' && n === QUAD_PLACES && mayBeginQuad(place);
    const isInside = place >= free && place + n < places;
    const isOf = kind === 'pages' ? page + n <= pages : page === (kind === 'birth' ? number : 0);
    if (!isInside || kind === 'summary' || (n !== 1 && !isQuad) || !isOf) {
      throw new FormatError('CORRUPT', `${what}: place ${place} has ${kind} ${page}+${n}`);
    }
    free = place + n;
  }
}

function summaryBodies(places: number): number {
  return Math.ceil(places / ENTRIES);
}

/** `segments` ascend. */
function rangesOf(segments: Iterable<number>): readonly SegmentRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const number of segments) {
    const previous = ranges.at(-1);
    assert(previous === undefined || number > previous.last, 'segments that do not ascend');
    if (previous?.last === number - 1) previous.last = number;
    else ranges.push({ first: number, last: number });
  }
  return ranges;
}

function newBody(
  count: number,
  max: number,
): { readonly bytes: Uint8Array; readonly view: DataView } {
  assert(count > 0 && count <= max, `${count} entries in a body of at most ${max}`);
  const bytes = new Uint8Array(PAGE_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, count, true);
  return { bytes, view };
}

/** Checks the count, and that only zeros follow what it counts. */
function openBody(
  body: Uint8Array,
  {
    what,
    itemLength,
    max,
  }: { readonly what: string; readonly itemLength: number; readonly max: number },
): { readonly view: DataView; readonly count: number } {
  if (body.length !== PAGE_LENGTH) {
    throw new FormatError('CORRUPT', `${what}: body of ${body.length} bytes`);
  }
  const view = new DataView(body.buffer, body.byteOffset, PAGE_LENGTH);
  const count = view.getUint16(0, true);
  if (count === 0 || count > max) {
    throw new FormatError('CORRUPT', `${what}: ${count} entries, at most ${max}`);
  }
  checkZero(body, { from: HEADER_LENGTH + count * itemLength, to: PAGE_LENGTH }, what);
  return { view, count };
}
