import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';

/*
 * The log of sealed slots that holds what a session writes to a disk: its head, the prefaces of its files and its
 * slots. Their keys: overlay-key.ts; contents of bodies: overlay-bodies.ts; summaries: overlay-summary.ts; the
 * file of the head: overlay-head.ts. Grammar and argument: overlay-log.md.
 *
 *   head:     0 u32 magic "HFoh"  4 u8 version  5 u8 suite  6 2 zero  8 u32 page length  12 u32 places of a segment
 *            16 u64 disk size    24 16 overlay id          40 u32 crc of bytes 0..40
 *   preface:  0 u32 magic "HFos", "HFou"  4 u8 version  5 u8 suite  6 2 zero  8 u32 number  12 32 salt
 *            44 u32 crc of bytes 0..44   48 zero to 4136
 *   trailer:  0 16 tag  16 u48 first page  22 u8 kind  23 u8 n  24 u32 durable segment  28 u16 durable place
 *            30 2 zero  32 u32 crc of bytes 16..32  36 4 zero
 */

/** 1: authenticated only; contents are stored as they are. 2: encrypted. */
export type Suite = 1 | 2;

/**
 * AES-256-GCM under the key of one file; implemented in sys/crypto/page-sealer.ts. The contents are as long as
 * `plain`, or as `into` of `open`: the sealed side may be longer, its rest stays unchanged. `iv` has 12 bytes, `tag`
 * 16.
 */
export interface SlotSealer {
  seal(iv: Uint8Array, aad: Uint8Array, plain: Uint8Array, into: Uint8Array, tag: Uint8Array): void;
  /** False: the tag does not match, and `into` holds nothing of the contents. */
  open(
    iv: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
    tag: Uint8Array,
    into: Uint8Array,
  ): boolean;
}

export interface OverlayHead {
  readonly suite: Suite;
  /** The disk's size in bytes. */
  readonly size: number;
  /** OVERLAY_ID_LENGTH random bytes. */
  readonly overlayId: Uint8Array;
  /** Places of a segment, both prefaces included: PLACES_MIN to PLACES_MAX. */
  readonly places: number;
}

export interface Preface {
  readonly of: 'segment' | 'summary';
  readonly suite: Suite;
  /** The segment's number. */
  readonly number: number;
  /** SALT_LENGTH fresh random bytes: no two files share a key. */
  readonly salt: Uint8Array;
}

export type SlotKind = 'pages' | 'zeros' | 'mark' | 'summary' | 'birth' | 'freed' | 'voids';

/** A position in the log: it stands for everything before it. */
export interface LogPosition {
  readonly segment: number;
  readonly place: number;
}

/** The fields that a slot states about itself. */
export interface SlotTrailer {
  readonly kind: SlotKind;
  /** `pages`: the first page. `birth` and `summary`: the segment's number. Otherwise 0. */
  readonly page: number;
  /** How many places it takes: 4 for a quad, otherwise 1. */
  readonly n: number;
  /** How far the log was durable when this was sealed. */
  readonly durable: LogPosition;
}

export type NewSlot = Omit<SlotTrailer, 'n'> & { readonly place: number };

/** Seals and opens slots of one file. Owns scratch memory: one for each thread. */
export interface SlotCodec {
  /**
   * Writes a whole slot to `into`: one place for a `body` of PAGE_LENGTH, QUAD_PLACES for one of QUAD_LENGTH (only of
   * kind `pages` and where a quad may begin). This uses up the place, whether the slot is written or not.
   */
  seal(into: Uint8Array, slot: NewSlot, body: Uint8Array): void;
  /**
   * Fills `into` with the body of the slot at `place`, whose bytes begin at `bytes`; the length of `into` decides
   * whether one page or a quad is expected. Undefined: no such slot is there whole. Throws FormatError where the seal
   * matches but a field has an impossible value.
   */
  open(bytes: Uint8Array, place: number, into: Uint8Array): SlotTrailer | undefined;
}

export const PAGE_LENGTH = 4096;
export const TRAILER_LENGTH = 40;
export const PLACE_LENGTH = PAGE_LENGTH + TRAILER_LENGTH;
export const QUAD_PLACES = 4;
export const QUAD_LENGTH = QUAD_PLACES * PAGE_LENGTH;
export const OVERLAY_HEAD_LENGTH = 44;
export const OVERLAY_ID_LENGTH = 16;
export const SALT_LENGTH = 32;
/** Both prefaces, three birth slots, and three of a record. */
const PLACES_MIN = 8;
/** A location has 14 bits for the place. */
export const PLACES_MAX = 2 ** 14;
export const PAGE_NUMBER_MAX = 2 ** 48 - 1;
export const SEGMENT_NUMBER_MAX = 2 ** 32 - 1;

const HEAD_MAGIC = 0x686f4648;
const PREFACE_MAGIC = { segment: 0x736f4648, summary: 0x756f4648 } as const satisfies Record<
  Preface['of'],
  number
>;
const HEAD_VERSION = 2;
/** In earlier, unreleased versions the key did not depend on the segment's number. */
const PREFACE_VERSION = { segment: 3, summary: 4 } as const satisfies Record<Preface['of'], number>;
const SALT_AT = 12;
const PREFACE_CRC_AT = 44;
const PREFACE_LENGTH = 48;
const HEAD_CRC_AT = 40;
const TAG_LENGTH = 16;
const TRAILER_CRC_AT = 32;
const TRAILER_SEALED_END = 36;
const IV_LENGTH = 12;
export const KIND = {
  pages: 1,
  zeros: 2,
  mark: 3,
  summary: 4,
  birth: 5,
  freed: 6,
  voids: 7,
} as const satisfies Record<SlotKind, number>;
const KINDS: readonly (SlotKind | undefined)[] = [
  undefined,
  'pages',
  'zeros',
  'mark',
  'summary',
  'birth',
  'freed',
  'voids',
];

export function slotKind(code: number): SlotKind | undefined {
  return KINDS[code];
}

export function encodeHead({ suite, size, overlayId, places }: OverlayHead): Uint8Array {
  assert(places >= PLACES_MIN && places <= PLACES_MAX, `segments of ${places} places`);
  assert(overlayId.length === OVERLAY_ID_LENGTH, `overlay id of ${overlayId.length} bytes`);
  const bytes = new Uint8Array(OVERLAY_HEAD_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, HEAD_MAGIC, true);
  bytes[4] = HEAD_VERSION;
  bytes[5] = suite;
  view.setUint32(8, PAGE_LENGTH, true);
  view.setUint32(12, places, true);
  view.setUint32(16, size % 2 ** 32, true);
  view.setUint32(20, Math.floor(size / 2 ** 32), true);
  bytes.set(overlayId, 24);
  view.setUint32(HEAD_CRC_AT, crc32(bytes.subarray(0, HEAD_CRC_AT)), true);
  return bytes;
}

/** `bytes`: the whole file. */
export function decodeHead(bytes: Uint8Array): OverlayHead {
  const what = 'head of an overlay';
  if (bytes.length < OVERLAY_HEAD_LENGTH) {
    throw new FormatError('TRUNCATED', `${what}: ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, OVERLAY_HEAD_LENGTH);
  if (view.getUint32(0, true) !== HEAD_MAGIC) throw new FormatError('BAD_MAGIC', `no ${what}`);
  const suite = checkedSuite(bytes, { version: HEAD_VERSION, crcAt: HEAD_CRC_AT, what });
  const pageLength = view.getUint32(8, true);
  const places = view.getUint32(12, true);
  const size = view.getUint32(16, true) + view.getUint32(20, true) * 2 ** 32;
  const isPlausible =
    bytes.length === OVERLAY_HEAD_LENGTH && places >= PLACES_MIN && places <= PLACES_MAX;
  if (!isPlausible || pageLength !== PAGE_LENGTH || !Number.isSafeInteger(size)) {
    const found = `${bytes.length} bytes, pages of ${pageLength}, segments of ${places}`;
    throw new FormatError('CORRUPT', `${what}: ${found}, disk of ${size} bytes`);
  }
  return { suite, size, overlayId: bytes.slice(24, HEAD_CRC_AT), places };
}

/** Fills one place; a segment has its preface also in its last place. */
export function encodePreface({ of, suite, number, salt }: Preface): Uint8Array {
  assert(salt.length === SALT_LENGTH, `salt of ${salt.length} bytes`);
  const bytes = new Uint8Array(PLACE_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, PREFACE_MAGIC[of], true);
  bytes[4] = PREFACE_VERSION[of];
  bytes[5] = suite;
  view.setUint32(8, number, true);
  bytes.set(salt, SALT_AT);
  view.setUint32(PREFACE_CRC_AT, crc32(bytes.subarray(0, PREFACE_CRC_AT)), true);
  return bytes;
}

/** Reads the place that begins at `bytes`. */
export function decodePreface(bytes: Uint8Array): Preface {
  const what = 'preface of an overlay segment';
  if (bytes.length < PLACE_LENGTH) {
    throw new FormatError('TRUNCATED', `${what}: ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, PREFACE_LENGTH);
  const magic = view.getUint32(0, true);
  const of = magic === PREFACE_MAGIC.summary ? 'summary' : 'segment';
  if (magic !== PREFACE_MAGIC[of]) throw new FormatError('BAD_MAGIC', `no ${what}`);
  const version = PREFACE_VERSION[of];
  const suite = checkedSuite(bytes, { version, crcAt: PREFACE_CRC_AT, what });
  checkZero(bytes, { from: PREFACE_LENGTH, to: PLACE_LENGTH }, what);
  return { of, suite, number: view.getUint32(8, true), salt: bytes.slice(SALT_AT, PREFACE_CRC_AT) };
}

/**
 * `of`: the file whose kinds are allowed. `pages`: the disk's number of pages; default: as many as can be numbered.
 */
export function slotCodec(
  sealer: SlotSealer,
  {
    of = 'segment',
    pages = PAGE_NUMBER_MAX + 1,
  }: { readonly of?: Preface['of']; readonly pages?: number } = {},
): SlotCodec {
  const trailer = new Uint8Array(TRAILER_LENGTH);
  const view = new DataView(trailer.buffer);
  const tag = trailer.subarray(0, TAG_LENGTH);
  const summed = trailer.subarray(TAG_LENGTH, TRAILER_CRC_AT);
  const aad = trailer.subarray(TAG_LENGTH, TRAILER_SEALED_END);
  const iv = new Uint8Array(IV_LENGTH);
  const ivView = new DataView(iv.buffer);

  return {
    seal(into, slot, body) {
      const { place, kind, page, durable } = slot;
      const n = body.length / PAGE_LENGTH;
      const problem = problemOf(of, pages, kind, page, n);
      if (problem !== undefined) assert(false, problem);
      assert(n === 1 || mayBeginQuad(place), 'a quad where none may begin');
      assert(into.length >= n * PLACE_LENGTH, 'less room than a slot takes');
      putU48(view, 16, page);
      trailer[22] = KIND[kind];
      trailer[23] = n;
      view.setUint32(24, durable.segment, true);
      view.setUint32(28, durable.place, true);
      view.setUint32(TRAILER_CRC_AT, crc32(summed), true);
      view.setUint32(TRAILER_SEALED_END, 0, true);
      ivView.setUint32(0, place, true);
      ivView.setUint32(4, n, true);
      sealer.seal(iv, aad, body, into, tag);
      into.set(trailer, body.length);
      if (n > 1) into.fill(0, body.length + TRAILER_LENGTH, n * PLACE_LENGTH);
    },

    open(bytes, place, into) {
      const n = into.length / PAGE_LENGTH;
      assert(n === 1 || (n === QUAD_PLACES && mayBeginQuad(place)), 'an impossible slot');
      if (bytes.length < n * PLACE_LENGTH) return undefined;
      for (let at = 0; at < TRAILER_LENGTH; at++) trailer[at] = bytes[into.length + at]!;
      if (crc32(summed) !== view.getUint32(TRAILER_CRC_AT, true) || trailer[23] !== n) {
        return undefined;
      }
      if (!isZero(bytes, into.length + TRAILER_SEALED_END, n * PLACE_LENGTH)) return undefined;
      ivView.setUint32(0, place, true);
      ivView.setUint32(4, n, true);
      if (!sealer.open(iv, aad, bytes, tag, into)) return undefined;
      return checkedSlot(view, { of, pages, place, into });
    },
  };
}

/**
 * Reads the 40 bytes from `at` on without a key, and so is good only for naming what is damaged. Undefined: they are
 * not a trailer.
 */
export function readTrailer(bytes: Uint8Array, at: number): SlotTrailer | undefined {
  if (at + TRAILER_LENGTH > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, TRAILER_LENGTH);
  const sum = crc32(bytes.subarray(at + TAG_LENGTH, at + TRAILER_CRC_AT));
  if (sum !== view.getUint32(TRAILER_CRC_AT, true)) return undefined;
  const n = view.getUint8(23);
  const kind = slotKind(view.getUint8(22));
  if (kind === undefined || (n !== 1 && n !== QUAD_PLACES)) return undefined;
  return { kind, page: getU48(view, 16), n, durable: durableOf(view) };
}

/** Quads lie at places 1, 5, 9 and so on, so that any place of one reveals the whole quad. */
export function mayBeginQuad(place: number): boolean {
  return (place - 1) % QUAD_PLACES === 0;
}

export function putU48(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint16(at + 4, Math.floor(value / 2 ** 32), true);
}

export function getU48(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32;
}

/** Checks the fields that heads and prefaces share, and returns the suite. */
function checkedSuite(
  bytes: Uint8Array,
  {
    version,
    crcAt,
    what,
  }: { readonly version: number; readonly crcAt: number; readonly what: string },
): Suite {
  if (bytes[4] !== version) throw new FormatError('UNSUPPORTED', `${what}: version ${bytes[4]}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (crc32(bytes.subarray(0, crcAt)) !== view.getUint32(crcAt, true)) {
    throw new FormatError('CORRUPT', `${what} fails its checksum`);
  }
  checkZero(bytes, { from: 6, to: 8 }, what);
  const suite = bytes[5];
  if (suite === 1 || suite === 2) return suite;
  throw new FormatError('UNSUPPORTED', `${what}: suite ${suite}`);
}

function checkedSlot(
  view: DataView,
  {
    of,
    pages,
    place,
    into,
  }: {
    readonly of: Preface['of'];
    readonly pages: number;
    readonly place: number;
    readonly into: Uint8Array;
  },
): SlotTrailer {
  const n = view.getUint8(23);
  const kind = slotKind(view.getUint8(22));
  if (kind === undefined) {
    throw new FormatError('UNSUPPORTED', `slot ${place} of kind ${view.getUint8(22)}`);
  }
  const page = getU48(view, 16);
  const problem = problemOf(of, pages, kind, page, n);
  if (problem !== undefined || view.getUint16(30, true) !== 0) {
    throw new FormatError('CORRUPT', `slot ${place}: ${problem ?? 'a spare byte is not zero'}`);
  }
  if (kind === 'mark') checkZero(into, { from: 0, to: into.length }, `mark in slot ${place}`);
  return { kind, page, n, durable: durableOf(view) };
}

/**
 * What is impossible in these fields, even under a matching seal. Not passed as an object: this runs for each slot.
 */
function problemOf(
  of: Preface['of'],
  pages: number,
  kind: SlotKind,
  page: number,
  n: number,
): string | undefined {
  if ((kind === 'summary') !== (of === 'summary')) return `kind ${kind} in a ${of}`;
  if (kind === 'pages') {
    if (n !== 1 && n !== QUAD_PLACES) return `${n} pages`;
    return page + n > pages ? `pages ${page}+${n} of ${pages}` : undefined;
  }
  if (n !== 1) return `${kind} in ${n} places`;
  const numberMax = kind === 'birth' || kind === 'summary' ? SEGMENT_NUMBER_MAX : 0;
  return page > numberMax ? `${kind} of ${page}` : undefined;
}

function durableOf(view: DataView): LogPosition {
  return { segment: view.getUint32(24, true), place: view.getUint16(28, true) };
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
