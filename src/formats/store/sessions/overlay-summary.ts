import { assert } from '../../../lib/assert.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import {
  encodePreface,
  getU48,
  KIND,
  mayBeginQuad,
  PAGE_LENGTH,
  PLACE_LENGTH,
  type Preface,
  putU48,
  QUAD_PLACES,
  type SlotCodec,
  type SlotKind,
  slotKind,
} from './overlay-log.ts';

// The contents of a segment's places: in memory, and in its summary. Grammar: overlay-log.md.
/*
 *   entries, one for each place: u48 page  u8 kind  u8 n
 */

const ENTRY_LENGTH = 8;
const ENTRIES = PAGE_LENGTH / ENTRY_LENGTH;

/** The contents of each place of one segment, in memory as in its summary: 8 bytes per place. */
export interface PlaceTable {
  readonly places: number;
  /** Undefined: void, a preface, or a later place of a quad. */
  kindAt(place: number): SlotKind | undefined;
  /** As in the slot's trailer, like `countAt`; only valid where `kindAt` is defined. */
  pageAt(place: number): number;
  countAt(place: number): number;
  set(
    place: number,
    slot: { readonly kind: SlotKind; readonly page: number; readonly n: number },
  ): void;
  /** Marks the places from `from` up to, not including, `to` as empty. */
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

/** Length of a whole summary. */
export function summaryLength(places: number): number {
  return (1 + summaryBodies(places)) * PLACE_LENGTH;
}

/**
 * Encodes the whole file, for a segment that is wholly durable. The salt is fresh and the summary's own; `codec`
 * seals under the key that it yields, with `of: 'summary'`.
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
 * Reads the whole file, whose preface the caller has decoded for the key of `codec`. `number` and `places` come from
 * the file's name and the head; `pages` is the disk's number of pages.
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
      throw new FormatError('CORRUPT', `${what}: slot ${place} belongs to segment ${found}`);
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
