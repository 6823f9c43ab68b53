import { crc32 } from 'node:zlib';
import { FormatError } from '../../format-error.ts';
import { FRAME_LENGTH_MAX } from './frame.ts';
import type { Location } from './node.ts';

/*
 * New places of frames that are damaged in a pack, or missing with it. Grammar: moved.md.
 *
 *   0 u32 magic "HFmv"   4 u8 version   5 zero   8 u32 pack   12 u32 count   16 entries   then u32 crc
 *   entry: 0 u32 offset   4 u32 pack   8 u32 offset there   12 u32 length
 */
export interface MovedFrames {
  /** The frame's new place, by its offset in the old pack. */
  readonly frames: ReadonlyMap<number, Location>;
}

const MAGIC = 0x766d4648;
const VERSION = 1;
const HEADER_LENGTH = 16;
const ENTRY_LENGTH = 16;
const CRC_LENGTH = 4;
/** The most frames that a pack may have. */
const COUNT_MAX = 1 << 20;
export const MOVED_LENGTH_MAX = HEADER_LENGTH + COUNT_MAX * ENTRY_LENGTH + CRC_LENGTH;

export function encodeMoved(pack: number, { frames }: MovedFrames): Uint8Array {
  const sorted = [...frames].sort(([a], [b]) => a - b);
  const end = HEADER_LENGTH + sorted.length * ENTRY_LENGTH;
  const bytes = new Uint8Array(end + CRC_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  view.setUint32(8, pack, true);
  view.setUint32(12, sorted.length, true);
  for (const [index, [offset, to]] of sorted.entries()) {
    const at = HEADER_LENGTH + index * ENTRY_LENGTH;
    view.setUint32(at, offset, true);
    view.setUint32(at + 4, to.pack, true);
    view.setUint32(at + 8, to.offset, true);
    view.setUint32(at + 12, to.length, true);
  }
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

export function decodeMoved(bytes: Uint8Array, pack: number): MovedFrames {
  const end = bytes.length - CRC_LENGTH;
  if (end < HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `list of moved frames of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new FormatError('BAD_MAGIC', 'not a list of moved frames');
  }
  if (bytes[4] !== VERSION) {
    throw new FormatError('UNSUPPORTED', `list of moved frames of version ${bytes[4]}`);
  }
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end))) {
    throw new FormatError('CORRUPT', 'list of moved frames fails its checksum');
  }
  const of = view.getUint32(8, true);
  const count = view.getUint32(12, true);
  if (of !== pack || count > COUNT_MAX || end !== HEADER_LENGTH + count * ENTRY_LENGTH) {
    throw new FormatError('CORRUPT', `list of ${count} moved frames of pack ${of}`);
  }
  const frames = new Map<number, Location>();
  for (let at = HEADER_LENGTH; at < end; at += ENTRY_LENGTH) {
    const length = view.getUint32(at + 12, true);
    if (length > FRAME_LENGTH_MAX) {
      throw new FormatError('CORRUPT', `list of moved frames holds one of ${length} bytes`);
    }
    frames.set(view.getUint32(at, true), {
      pack: view.getUint32(at + 4, true),
      offset: view.getUint32(at + 8, true),
      length,
    });
  }
  return { frames };
}
