import { assert } from '../../../lib/assert.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import { DIGEST_LENGTH, keyedHash } from '../base/digest.ts';
import type { SegmentId } from './overlay-key.ts';
import { getU48, PAGE_LENGTH, PAGE_NUMBER_MAX, putU48, SALT_LENGTH } from './overlay-log.ts';

// The bodies of slots that do not hold pages. Grammar: overlay-log.md.
/*
 *   zeros:  0 u16 count  2 6 zero  8 runs: u48 first page, u48 pages
 *   birth:  0 u16 count  2 u16 index  4 u16 bodies  6 2 zero  8 32 digest  40 ranges: u32 first, u32 last segment
 *   freed:  0 u16 count  2 u8 copy  3 5 zero  8 segments: u32 number, 32 salt
 *   voids:  0 u16 count  2 u8 copy  3 5 zero  8 runs: u32 segment, u16 first place, u16 place after the last
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

/** The segments that exist. */
export interface SegmentList {
  /** `segmentsDigest` of them: detects a segment that belongs to a copy of the log. */
  readonly digest: Uint8Array;
  readonly ranges: readonly SegmentRange[];
}

/** One of the bodies that together list the segments that exist: some of the ranges, and the digest of all. */
export interface BirthBody extends SegmentList {
  readonly index: number;
  readonly bodies: number;
}

/** The contents of one of the copies of a record. They lie in RECORD_COPIES consecutive places. */
export interface RecordCopy<T> {
  /** From 0: which of these places this one is. */
  readonly copy: number;
  readonly list: readonly T[];
}

/** Places that are used up and hold nothing: from `from` up to, not including, `to`. */
export interface VoidPlaces {
  readonly segment: number;
  readonly from: number;
  readonly to: number;
}

const HEADER_LENGTH = 8;
const COPY_AT = 2;
const NO_KEY = new Uint8Array();
const RUN_LENGTH = 12;
const RANGE_LENGTH = 8;
const BIRTH_HEADER_LENGTH = HEADER_LENGTH + DIGEST_LENGTH;
const SEGMENT_LENGTH = 4 + SALT_LENGTH;
/**
 * The whole log depends on records of freed and void places: any one copy is enough. A damaged 4 KiB sector never
 * touches three places.
 */
export const RECORD_COPIES = 3;
/** The most segments that exist at once: a location has 18 bits for the segment. */
export const SEGMENTS_MAX = 2 ** 18;
export const ZERO_RUNS_MAX = Math.floor((PAGE_LENGTH - HEADER_LENGTH) / RUN_LENGTH);
export const BIRTH_RANGES_MAX = Math.floor((PAGE_LENGTH - BIRTH_HEADER_LENGTH) / RANGE_LENGTH);
export const VOIDS_MAX = Math.floor((PAGE_LENGTH - HEADER_LENGTH) / RANGE_LENGTH);
export const FREED_MAX = Math.floor((PAGE_LENGTH - HEADER_LENGTH) / SEGMENT_LENGTH);

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

/** `pages`: the number of pages of the disk. */
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

/** How many times a whole list of so many bodies is written, so that no 4 KiB sector reaches into all copies. */
export function birthCopies(bodies: number): number {
  return bodies === 1 ? RECORD_COPIES : 2;
}

/** The bodies, in order, of all birth slots that list these segments (ascending, at least one). */
export function encodeBirth(segments: readonly SegmentId[]): readonly Uint8Array[] {
  const ranges = rangesOf(segments);
  const digest = segmentsDigest(segments);
  const bodies = Math.ceil(ranges.length / BIRTH_RANGES_MAX);
  const list = Array.from({ length: bodies }, (_, index) => {
    const here = ranges.slice(index * BIRTH_RANGES_MAX, (index + 1) * BIRTH_RANGES_MAX);
    const { bytes, view } = newBody(here.length, BIRTH_RANGES_MAX);
    view.setUint16(2, index, true);
    view.setUint16(4, bodies, true);
    bytes.set(digest, HEADER_LENGTH);
    here.forEach(({ first, last }, at) => {
      view.setUint32(BIRTH_HEADER_LENGTH + at * RANGE_LENGTH, first, true);
      view.setUint32(BIRTH_HEADER_LENGTH + at * RANGE_LENGTH + 4, last, true);
    });
    return bytes;
  });
  return Array.from({ length: birthCopies(bodies) }, () => list).flat();
}

/** Ranges ascend within one body; `joinBirth` checks the order between bodies. */
export function decodeBirth(body: Uint8Array): BirthBody {
  const what = 'birth';
  const limits = {
    what,
    headerLength: BIRTH_HEADER_LENGTH,
    itemLength: RANGE_LENGTH,
    max: BIRTH_RANGES_MAX,
  };
  const { view, count } = openBody(body, limits);
  checkZero(body, { from: 6, to: HEADER_LENGTH }, what);
  const index = view.getUint16(2, true);
  const bodies = view.getUint16(4, true);
  if (index >= bodies) throw new FormatError('CORRUPT', `${what}: body ${index} of ${bodies}`);
  let free = 0;
  const ranges = Array.from({ length: count }, (_, at) => {
    const first = view.getUint32(BIRTH_HEADER_LENGTH + at * RANGE_LENGTH, true);
    const last = view.getUint32(BIRTH_HEADER_LENGTH + at * RANGE_LENGTH + 4, true);
    if (first < free || last < first) {
      throw new FormatError('CORRUPT', `${what}: range ${first}..${last} after ${free - 1}`);
    }
    free = last + 1;
    return { first, last };
  });
  return { index, bodies, digest: body.slice(HEADER_LENGTH, BIRTH_HEADER_LENGTH), ranges };
}

/** Joins the list of segments from the birth slots of a segment: at least one, and of each at least one copy. */
export function joinBirth(found: readonly BirthBody[]): SegmentList {
  const bodies = new Map(found.map((body) => [body.index, body]));
  const ranges: SegmentRange[] = [];
  const { bodies: length, digest } = found[0]!;
  let count = 0;
  for (let at = 0; at < length; at++) {
    const body = bodies.get(at);
    const here = body?.ranges ?? [];
    const isNext = (here[0]?.first ?? 0) > (ranges.at(-1)?.last ?? -1);
    for (const { first, last } of here) count += last - first + 1;
    const isOne = body?.bodies === length && Buffer.compare(body.digest, digest) === 0;
    if (!isOne || !isNext || count > SEGMENTS_MAX) {
      throw new FormatError('CORRUPT', `birth: body ${at} of ${length}, ${count} segments`);
    }
    ranges.push(...here);
  }
  return { ranges, digest };
}

/** A digest over the numbers and salts of segments, in ascending order. */
export function segmentsDigest(segments: readonly SegmentId[]): Uint8Array {
  const bytes = new Uint8Array(segments.length * SEGMENT_LENGTH);
  const view = new DataView(bytes.buffer);
  segments.forEach((segment, at) => putSegment({ bytes, view }, at * SEGMENT_LENGTH, segment));
  return keyedHash(NO_KEY, bytes);
}

function putSegment(
  { bytes, view }: { readonly bytes: Uint8Array; readonly view: DataView },
  at: number,
  { number, salt }: SegmentId,
): void {
  view.setUint32(at, number, true);
  bytes.set(salt, at + 4);
}

/** The bodies of all copies of a record, for 1 to FREED_MAX segments. */
export function encodeFreed(segments: readonly SegmentId[]): readonly Uint8Array[] {
  const { bytes, view } = newBody(segments.length, FREED_MAX);
  segments.forEach((segment, at) =>
    putSegment({ bytes, view }, HEADER_LENGTH + at * SEGMENT_LENGTH, segment),
  );
  return copiesOf(bytes);
}

export function decodeFreed(body: Uint8Array): RecordCopy<SegmentId> {
  const what = 'freed';
  const { view, count, copy } = openCopy(body, {
    what,
    itemLength: SEGMENT_LENGTH,
    max: FREED_MAX,
  });
  const list = Array.from({ length: count }, (_, index) => {
    const at = HEADER_LENGTH + index * SEGMENT_LENGTH;
    return { number: view.getUint32(at, true), salt: body.slice(at + 4, at + SEGMENT_LENGTH) };
  });
  return { copy, list };
}

/** The bodies of all copies of a record, for 1 to VOIDS_MAX runs. */
export function encodeVoids(runs: readonly VoidPlaces[]): readonly Uint8Array[] {
  const { bytes, view } = newBody(runs.length, VOIDS_MAX);
  runs.forEach(({ segment, from, to }, index) => {
    const at = HEADER_LENGTH + index * RANGE_LENGTH;
    assert(from > 0 && from < to, `void places ${from} to ${to}`);
    view.setUint32(at, segment, true);
    view.setUint16(at + 4, from, true);
    view.setUint16(at + 6, to, true);
  });
  return copiesOf(bytes);
}

export function decodeVoids(body: Uint8Array): RecordCopy<VoidPlaces> {
  const what = 'voids';
  const { view, count, copy } = openCopy(body, { what, itemLength: RANGE_LENGTH, max: VOIDS_MAX });
  const list = Array.from({ length: count }, (_, index) => {
    const at = HEADER_LENGTH + index * RANGE_LENGTH;
    const from = view.getUint16(at + 4, true);
    const to = view.getUint16(at + 6, true);
    if (from === 0 || from >= to) {
      throw new FormatError('CORRUPT', `${what}: places ${from} to ${to}`);
    }
    return { segment: view.getUint32(at, true), from, to };
  });
  return { copy, list };
}

/** `segments` ascend. */
function rangesOf(segments: readonly SegmentId[]): readonly SegmentRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const { number } of segments) {
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

function copiesOf(first: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: RECORD_COPIES }, (_, copy) => {
    const bytes = first.slice();
    bytes[COPY_AT] = copy;
    return bytes;
  });
}

interface ListLimits {
  readonly what: string;
  /** Default: HEADER_LENGTH. */
  readonly headerLength?: number;
  readonly itemLength: number;
  readonly max: number;
}

/** As `openBody`, for a record that has copies. */
function openCopy(body: Uint8Array, limits: ListLimits) {
  const opened = openBody(body, limits);
  const copy = body[COPY_AT]!;
  checkZero(body, { from: COPY_AT + 1, to: HEADER_LENGTH }, limits.what);
  if (copy < RECORD_COPIES) return { ...opened, copy };
  throw new FormatError('CORRUPT', `${limits.what}: copy ${copy} of ${RECORD_COPIES}`);
}

/** Checks the count, and that only zeros follow the counted entries. */
function openBody(
  body: Uint8Array,
  { what, headerLength = HEADER_LENGTH, itemLength, max }: ListLimits,
): { readonly view: DataView; readonly count: number } {
  if (body.length !== PAGE_LENGTH) {
    throw new FormatError('CORRUPT', `${what}: body of ${body.length} bytes`);
  }
  const view = new DataView(body.buffer, body.byteOffset, PAGE_LENGTH);
  const count = view.getUint16(0, true);
  if (count === 0 || count > max) {
    throw new FormatError('CORRUPT', `${what}: ${count} entries, at most ${max}`);
  }
  checkZero(body, { from: headerLength + count * itemLength, to: PAGE_LENGTH }, what);
  return { view, count };
}
