import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.ts';
import { KiB, MiB } from '../../../lib/sizes.ts';
import { FormatError } from '../../format-error.ts';
import { DIGEST_LENGTH } from '../base/digest.ts';
import { FRAME_LENGTH_MAX } from '../packs/frame.ts';

/*
 * One record of an export: recovery points in a file that is written and read from its beginning to its end. Grammar,
 * and what each kind holds: export-record.md.
 *
 *    0 u32 magic "HFex"    4 u8 version    5 u8 kind    6 u16 set    8 8 export    16 u64 number
 *   24 u32 length of the body    28 u32 crc of the body    32 u32 crc of bytes 0..32    36 body
 */
export const EXPORT_HEAD_LENGTH = 36;
export const EXPORT_ID_LENGTH = 8;

/** The first bytes of each record. */
export const EXPORT_MAGIC = 'HFex';

export type ExportKind = 'begin' | 'set' | 'profile' | 'frame' | 'point' | 'index' | 'end';

export interface ExportHead {
  readonly kind: ExportKind;
  /** The set that it belongs to, as the list in `begin` counts them; 0 where it belongs to none. */
  readonly set: number;
  /** Names the export, so that a record of another one is recognized. */
  readonly id: Uint8Array;
  /** Counts the records. */
  readonly number: number;
  readonly length: number;
  readonly crc: number;
}

export interface ExportEnd {
  /** Bytes before this record. */
  readonly bytes: number;
  /** BLAKE3 over these bytes. */
  readonly digest: Uint8Array;
}

/** As many sets as a number of 16 bits can name. */
export const EXPORT_SETS_MAX = 2 ** 16;

const MAGIC = 0x78654648;
const VERSION = 1;
const KIND = {
  begin: 1,
  set: 2,
  profile: 3,
  frame: 4,
  point: 5,
  index: 6,
  end: 7,
} as const satisfies Record<ExportKind, number>;
const KINDS = Object.entries(KIND) as [ExportKind, number][];
const END_LENGTH = 8 + DIGEST_LENGTH;

/** The longest body of each kind: a reader has it in memory as a whole. */
const LENGTH_MAX = {
  // 100,000 recovery points of some 500 bytes.
  begin: 64 * MiB,
  set: 64 * KiB,
  profile: 8 * MiB,
  frame: FRAME_LENGTH_MAX,
  point: 2 * MiB,
  index: 64 * MiB,
  end: END_LENGTH,
} as const satisfies Record<ExportKind, number>;

/** Whether a body of this length can be read again. */
export function fitsExport(kind: ExportKind, length: number): boolean {
  return length <= LENGTH_MAX[kind];
}

export function encodeExportHead(
  { kind, set, id, number }: Omit<ExportHead, 'length' | 'crc'>,
  body: Uint8Array,
): Uint8Array {
  assert(id.length === EXPORT_ID_LENGTH, `an export's ID of ${id.length} bytes`);
  assert(fitsExport(kind, body.length), `a record "${kind}" of ${body.length} bytes`);
  const bytes = new Uint8Array(EXPORT_HEAD_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  bytes[5] = KIND[kind];
  view.setUint16(6, set, true);
  bytes.set(id, 8);
  setU64(view, 16, number);
  view.setUint32(24, body.length, true);
  view.setUint32(28, crc32(body), true);
  view.setUint32(32, crc32(bytes.subarray(0, 32)), true);
  return bytes;
}

/** Parses the first EXPORT_HEAD_LENGTH bytes. `id` is a view into them. Throws FormatError. */
export function decodeExportHead(bytes: Uint8Array): ExportHead {
  if (bytes.length < EXPORT_HEAD_LENGTH) {
    throw new FormatError('TRUNCATED', `the head of a record of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, EXPORT_HEAD_LENGTH);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new FormatError('BAD_MAGIC', 'not a record of an export');
  }
  if (crc32(bytes.subarray(0, 32)) !== view.getUint32(32, true)) {
    throw new FormatError('CORRUPT', 'the head of a record fails its checksum');
  }
  if (bytes[4] !== VERSION) {
    const what = `an export of version ${bytes[4]}, which this release does not know`;
    throw new FormatError(
      'UNSUPPORTED',
      `${what}: install the release that wrote it, or a later one`,
    );
  }
  const kind = KINDS.find(([, number]) => number === bytes[5])?.[0];
  const number = u64(view, 16);
  const length = view.getUint32(24, true);
  if (kind === undefined || number === undefined || !fitsExport(kind, length)) {
    throw new FormatError('CORRUPT', `a record of kind ${bytes[5]} with ${length} bytes`);
  }
  return {
    kind,
    set: view.getUint16(6, true),
    id: bytes.subarray(8, 8 + EXPORT_ID_LENGTH),
    number,
    length,
    crc: view.getUint32(28, true),
  };
}

/** Throws FormatError. */
export function checkExportBody({ kind, crc }: ExportHead, body: Uint8Array): void {
  if (crc32(body) === crc) return;
  throw new FormatError('CORRUPT', `the contents of a record "${kind}" fail their checksum`);
}

export function encodeExportEnd({ bytes, digest }: ExportEnd): Uint8Array {
  const body = new Uint8Array(END_LENGTH);
  setU64(new DataView(body.buffer), 0, bytes);
  body.set(digest, 8);
  return body;
}

/** Throws FormatError. */
export function decodeExportEnd(body: Uint8Array): ExportEnd {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const bytes = body.length === END_LENGTH ? u64(view, 0) : undefined;
  if (bytes === undefined) throw new FormatError('CORRUPT', 'the end of an export is no end');
  return { bytes, digest: body.slice(8) };
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** Undefined: more than a safe integer. */
function u64(view: DataView, at: number): number | undefined {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  return Number.isSafeInteger(value) ? value : undefined;
}
