import { FormatError } from '../../format-error.ts';
import { decodeHead, encodeHead, OVERLAY_HEAD_LENGTH, type OverlayHead } from './overlay-log.ts';

// The file of the head, without which no part of a log can be opened. Grammar: overlay-log.md.
/*
 *   0 head  44 zero  4096 head
 */

/** The copy lies in another sector. */
const COPY_AT = 4096;
export const HEAD_FILE_LENGTH = COPY_AT + OVERLAY_HEAD_LENGTH;

export interface HeadFile {
  readonly head: OverlayHead;
  /** A byte of the file is not as it was written: the file should be written again. */
  readonly isDamaged: boolean;
}

export function encodeHeadFile(head: OverlayHead): Uint8Array {
  const bytes = new Uint8Array(HEAD_FILE_LENGTH);
  for (const at of [0, COPY_AT]) bytes.set(encodeHead(head), at);
  return bytes;
}

/** One of the two copies is enough. Throws the first one's error where neither is whole, and where they differ. */
export function decodeHeadFile(bytes: Uint8Array): HeadFile {
  const copies = [0, COPY_AT].map((at) => bytes.subarray(at, at + OVERLAY_HEAD_LENGTH));
  const [whole = copies[0]!, other] = copies.filter(isWhole);
  const head = decodeHead(whole);
  if (other && Buffer.compare(whole, other) !== 0) {
    throw new FormatError('CORRUPT', 'head of an overlay: its two copies say different things');
  }
  return { head, isDamaged: Buffer.compare(bytes, encodeHeadFile(head)) !== 0 };
}

function isWhole(bytes: Uint8Array): boolean {
  try {
    decodeHead(bytes);
    return true;
  } catch (cause) {
    if (cause instanceof FormatError) return false;
    throw cause;
  }
}
