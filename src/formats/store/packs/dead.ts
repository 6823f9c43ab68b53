import { crc32 } from 'node:zlib';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import { ENTRY_COUNT_MAX } from './pack.ts';
import type { ListedPack } from './reference-list.ts';

/*
 * The frames of a pack that a sweep has removed. Grammar: dead.md.
 *
 *   0 u32 magic "HFdd"  4 u8 version  5 u8 state  6 zero  8 u32 pack  12 u32 crc of the pack's entries  16 u32 count
 *   20 bits  then u32 crc
 */
export interface DeadFrames {
  /** The number of the pack's entries. */
  readonly count: number;
  /** Whether their space was given back, too. */
  readonly isGivenBack: boolean;
  /** One bit for each entry, lowest bit first. */
  readonly bits: Uint8Array;
}

const MAGIC = 0x64644648;
const VERSION = 1;
const HEADER_LENGTH = 20;
const CRC_LENGTH = 4;
export const DEAD_LENGTH_MAX = HEADER_LENGTH + ENTRY_COUNT_MAX / 8 + CRC_LENGTH;

/** Bytes for one bit for each of `count` entries. */
function bitsLength(count: number): number {
  return Math.ceil(count / 8);
}

export function isDead({ bits }: Pick<DeadFrames, 'bits'>, entry: number): boolean {
  return ((bits[entry >>> 3] ?? 0) & (1 << (entry & 7))) !== 0;
}

export function encodeDead(
  { pack, entriesCrc }: ListedPack,
  { count, isGivenBack, bits }: DeadFrames,
): Uint8Array {
  const end = HEADER_LENGTH + bitsLength(count);
  const bytes = new Uint8Array(end + CRC_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  bytes[5] = isGivenBack ? 1 : 0;
  view.setUint32(8, pack, true);
  view.setUint32(12, entriesCrc, true);
  view.setUint32(16, count, true);
  bytes.set(bits.subarray(0, bitsLength(count)), HEADER_LENGTH);
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** Throws FormatError, also for the record of another pack. */
export function decodeDead(bytes: Uint8Array, { pack, entriesCrc }: ListedPack): DeadFrames {
  const end = bytes.length - CRC_LENGTH;
  if (end < HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `record of dead frames of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new FormatError('BAD_MAGIC', 'not a record of dead frames');
  }
  if (bytes[4] !== VERSION) {
    throw new FormatError('UNSUPPORTED', `record of dead frames of version ${bytes[4]}`);
  }
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end))) {
    throw new FormatError('CORRUPT', 'record of dead frames fails its checksum');
  }
  checkZero(bytes, { from: 6, to: 8 }, 'record of dead frames');
  const count = view.getUint32(16, true);
  const isOfPack = view.getUint32(8, true) === pack && view.getUint32(12, true) === entriesCrc;
  const isWhole = count <= ENTRY_COUNT_MAX && end === HEADER_LENGTH + bitsLength(count);
  if (!isOfPack || !isWhole || bytes[5]! > 1) {
    throw new FormatError('CORRUPT', `record of ${count} dead frames belongs to another pack`);
  }
  return { count, isGivenBack: bytes[5] === 1, bits: bytes.slice(HEADER_LENGTH, end) };
}
