/**
 * OUT_OF_RANGE: beyond the disk's end, or no whole number. READ_ONLY: a write to what has none.
 * NO_SPACE: the medium below is full. CORRUPT: what is stored fails its tag or digest, or is gone.
 * IO: the medium failed. TIMEOUT: the peer or medium does not answer. CLOSED: used after its close.
 */
export type BlockErrorCode =
  | 'OUT_OF_RANGE'
  | 'READ_ONLY'
  | 'NO_SPACE'
  | 'CORRUPT'
  | 'IO'
  | 'TIMEOUT'
  | 'CLOSED';

/** What can go wrong with a disk while this program is correct. */
export class BlockError extends Error {
  override readonly name = 'BlockError';
  readonly code: BlockErrorCode;
  constructor(code: BlockErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
