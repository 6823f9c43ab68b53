import { crc32 } from 'node:zlib';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';

/*
 * The packs of a directory that a sweep has removed. Grammar: removed.md.
 *
 *   0 u32 magic "HFrm"  4 u8 version  5 zero  8 u32 group  12 bits  137 u32 crc
 */
const MAGIC = 0x6d724648;
const VERSION = 1;
const HEADER_LENGTH = 12;
/** Packs in a directory. */
export const PACKS_PER_GROUP = 1000;
const BITS_LENGTH = PACKS_PER_GROUP / 8;
const END = HEADER_LENGTH + BITS_LENGTH;
export const REMOVED_LENGTH = END + 4;

/** `packs`: numbers of removed packs, all of this group. */
export function encodeRemoved(group: number, packs: Iterable<number>): Uint8Array {
  const bytes = new Uint8Array(REMOVED_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  view.setUint32(8, group, true);
  for (const pack of packs) {
    const at = pack - group * PACKS_PER_GROUP;
    bytes[HEADER_LENGTH + (at >>> 3)]! |= 1 << (at & 7);
  }
  view.setUint32(END, crc32(bytes.subarray(0, END)), true);
  return bytes;
}

/** Ascending. Throws FormatError. */
export function decodeRemoved(bytes: Uint8Array, group: number): number[] {
  if (bytes.length !== REMOVED_LENGTH) {
    throw new FormatError('TRUNCATED', `list of removed packs of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new FormatError('BAD_MAGIC', 'not a list of removed packs');
  }
  if (bytes[4] !== VERSION) {
    throw new FormatError('UNSUPPORTED', `list of removed packs of version ${bytes[4]}`);
  }
  if (view.getUint32(END, true) !== crc32(bytes.subarray(0, END))) {
    throw new FormatError('CORRUPT', 'list of removed packs fails its checksum');
  }
  checkZero(bytes, { from: 5, to: 8 }, 'list of removed packs');
  const of = view.getUint32(8, true);
  if (of !== group) throw new FormatError('CORRUPT', `list of removed packs of group ${of}`);
  return Array.from({ length: PACKS_PER_GROUP }, (_, at) => at)
    .filter((at) => (bytes[HEADER_LENGTH + (at >>> 3)]! & (1 << (at & 7))) !== 0)
    .map((at) => group * PACKS_PER_GROUP + at);
}
