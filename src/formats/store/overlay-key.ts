import { assert } from '../../lib/assert.ts';
import { concatBytes, utf8 } from '../../lib/bytes.ts';
import { keyedHash } from './digest.ts';
import { DATA_KEY_LENGTH } from './key-slot.ts';
import { encodeHead, OVERLAY_HEAD_LENGTH, type OverlayHead, SALT_LENGTH } from './overlay-log.ts';

// The keys of a log of sealed slots. Argument: overlay-log.md.

const HEAD_CRC_LENGTH = 4;

type OfLog = OverlayHead & { readonly session: string; readonly disk: string };

/** The key of one segment; `key` is the domain's for overlays. */
export function segmentKey(key: Uint8Array, log: OfLog, salt: Uint8Array): Uint8Array {
  return fileKey(key, log, [salt]);
}

/** The key of the summary of the segment that has the salt `segmentSalt`. */
export function summaryKey(
  key: Uint8Array,
  log: OfLog,
  { salt, segmentSalt }: { readonly salt: Uint8Array; readonly segmentSalt: Uint8Array },
): Uint8Array {
  return fileKey(key, log, [salt, segmentSalt]);
}

function fileKey(
  key: Uint8Array,
  { session, disk, ...head }: OfLog,
  salts: readonly Uint8Array[],
): Uint8Array {
  // Fields of fixed length around names that are ended by a zero byte: no two logs have the same input.
  assert(key.length === DATA_KEY_LENGTH, `overlay key of ${key.length} bytes`);
  for (const { length } of salts) assert(length === SALT_LENGTH, `salt of ${length} bytes`);
  assert(!session.includes('\0') && !disk.includes('\0'), 'a name with a zero byte');
  const summed = encodeHead(head).subarray(0, OVERLAY_HEAD_LENGTH - HEAD_CRC_LENGTH);
  const log = keyedHash(utf8(`${session}\0${disk}\0`), summed);
  return keyedHash(key, concatBytes(log, ...salts));
}
