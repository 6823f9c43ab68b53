import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';

/*
 * What was written to a session's disk since the last flush: a header, then records of overlay-map.ts.
 * Grammar: overlay-recent.md.
 *
 *   header: 0 u32 magic "HFor"  4 u8 version  5 3 zero  8 u64 generation  16 boot ID in ASCII  52 u32 crc
 */
export interface RecentHeader {
  /** A higher generation is a later one. */
  readonly generation: number;
  /** A UUID as the kernel writes it. */
  readonly bootId: string;
}

export const RECENT_HEADER_LENGTH = 56;

const MAGIC = 0x726f4648;
const VERSION = 1;
const BOOT_ID_AT = 16;
const CRC_AT = 52;

export function encodeRecentHeader({ generation, bootId }: RecentHeader): Uint8Array {
  assert(bootId.length === CRC_AT - BOOT_ID_AT, `boot ID "${bootId}"`);
  const bytes = Buffer.alloc(RECENT_HEADER_LENGTH);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes[4] = VERSION;
  bytes.writeUInt32LE(generation % 2 ** 32, 8);
  bytes.writeUInt32LE(Math.floor(generation / 2 ** 32), 12);
  bytes.write(bootId, BOOT_ID_AT, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT);
  return bytes;
}

export function decodeRecentHeader(bytes: Uint8Array): RecentHeader {
  if (bytes.length < RECENT_HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `recent writes of ${bytes.length} bytes`);
  }
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, RECENT_HEADER_LENGTH);
  if (head.readUInt32LE(0) !== MAGIC)
    throw new FormatError('BAD_MAGIC', 'not a file of recent writes');
  if (head[4] !== VERSION) throw new FormatError('UNSUPPORTED', `recent writes version ${head[4]}`);
  const generation = head.readUInt32LE(8) + head.readUInt32LE(12) * 2 ** 32;
  const isIntact = crc32(head.subarray(0, CRC_AT)) === head.readUInt32LE(CRC_AT);
  if (!isIntact || !Number.isSafeInteger(generation)) {
    throw new FormatError('CORRUPT', 'recent writes: the header fails its checksum');
  }
  checkZero(head, { from: 5, to: 8 }, 'recent writes: header');
  return { generation, bootId: head.toString('latin1', BOOT_ID_AT, CRC_AT) };
}
