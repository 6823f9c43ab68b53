import { CodedError } from '../lib/coded-error.ts';

/**
 * OUT_OF_RANGE: beyond the disk's end, or not a whole number. READ_ONLY: a write to a read-only disk. NO_SPACE: the
 * medium below is full. CORRUPT: stored data fails its tag or digest, or is missing. IO: the medium failed. TIMEOUT:
 * the peer or medium does not answer. CLOSED: used after it was closed. NO_BITMAP: the peer does not tell what has
 * changed since then.
 */
export type BlockErrorCode =
  | 'OUT_OF_RANGE'
  | 'READ_ONLY'
  | 'NO_SPACE'
  | 'CORRUPT'
  | 'IO'
  | 'TIMEOUT'
  | 'CLOSED'
  | 'NO_BITMAP';

/** What can go wrong with a disk while this program is correct. */
export class BlockError extends CodedError<BlockErrorCode> {
  override readonly name = 'BlockError';
}
