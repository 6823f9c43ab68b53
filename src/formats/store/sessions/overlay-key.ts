import { assert } from '../../../lib/assert.ts';
import { concatBytes, utf8 } from '../../../lib/bytes.ts';
import { keyedHash } from '../base/digest.ts';
import { DATA_KEY_LENGTH } from '../catalog/key-slot.ts';
import { encodeHead, OVERLAY_HEAD_LENGTH, type OverlayHead, SALT_LENGTH } from './overlay-log.ts';

// The keys of a log of sealed slots. Argument: overlay-log.md.

const HEAD_CRC_LENGTH = 4;

type OfLog = OverlayHead & { readonly session: string; readonly disk: string };

/** Identifies a segment: no two segments of a log, or of its copies, share both fields. */
export interface SegmentId {
  readonly number: number;
  readonly salt: Uint8Array;
}

/** The key of one segment; `key` is the domain's for overlays. A file under another number cannot be opened. */
export function segmentKey(key: Uint8Array, log: OfLog, { number, salt }: SegmentId): Uint8Array {
  return fileKey(key, log, number, [salt]);
}

/** The key of a segment's summary that has the salt `salt`. */
export function summaryKey(
  key: Uint8Array,
  log: OfLog,
  { segment, salt }: { readonly segment: SegmentId; readonly salt: Uint8Array },
): Uint8Array {
  return fileKey(key, log, segment.number, [salt, segment.salt]);
}

function fileKey(
  key: Uint8Array,
  { session, disk, ...head }: OfLog,
  number: number,
  salts: readonly Uint8Array[],
): Uint8Array {
  // Fields of fixed length, and names that end with a zero byte: no two logs have the same input.
  assert(key.length === DATA_KEY_LENGTH, `overlay key of ${key.length} bytes`);
  for (const { length } of salts) assert(length === SALT_LENGTH, `salt of ${length} bytes`);
  assert(!session.includes('\0') && !disk.includes('\0'), 'a name with a zero byte');
  const summed = encodeHead(head).subarray(0, OVERLAY_HEAD_LENGTH - HEAD_CRC_LENGTH);
  const log = keyedHash(utf8(`${session}\0${disk}\0`), summed);
  return keyedHash(key, concatBytes(log, u32(number), ...salts));
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
