import { keyedHash } from '../../formats/store/base/digest.ts';
import { utf8 } from '../../lib/bytes.ts';

/** The same after every restart, and unique to this name: file IDs and handles are derived from it. */
export function identityOf(name: string): { tag: number; generation: number } {
  const digest = keyedHash(new Uint8Array(0), utf8(name));
  const view = new DataView(digest.buffer, digest.byteOffset, digest.length);
  // Zero is the export's own; and some clients treat file IDs as signed numbers.
  return { tag: view.getUint32(0) >>> 1 || 1, generation: view.getUint32(4) };
}
