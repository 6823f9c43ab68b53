import { assert } from '../../lib/assert.ts';
import { concatBytes, utf8 } from '../../lib/bytes.ts';
import { keyedHash } from './digest.ts';
import { DATA_KEY_LENGTH } from './key-slot.ts';
import { encodeHead, OVERLAY_HEAD_LENGTH, type OverlayHead, SALT_LENGTH } from './overlay-log.ts';

// The keys of a log of sealed slots. Argument: overlay-log.md.

const HEAD_CRC_LENGTH = 4;

/** The key of one segment or summary; `key` is the domain's for overlays. */
export function segmentKey(
  key: Uint8Array,
  { session, disk, ...head }: OverlayHead & { readonly session: string; readonly disk: string },
  salt: Uint8Array,
): Uint8Array {
  // Fields of fixed length around names that are ended by a zero byte: no two logs have the same input.
  assert(key.length === DATA_KEY_LENGTH, `overlay key of ${key.length} bytes`);
  assert(salt.length === SALT_LENGTH, `salt of ${salt.length} bytes`);
  assert(!session.includes('\0') && !disk.includes('\0'), 'a name with a zero byte');
  const summed = encodeHead(head).subarray(0, OVERLAY_HEAD_LENGTH - HEAD_CRC_LENGTH);
  const log = keyedHash(utf8(`${session}\0${disk}\0`), summed);
  return keyedHash(key, concatBytes(log, salt));
}
