/**
 * NOT_A_STORE, EXISTS (something is in the way), BUSY (another writer; the message names it),
 * UNSUPPORTED (of a later release), CORRUPT, MISSING (a block that is referred to is nowhere),
 * NO_SPACE, IO (the medium failed; for a writer that is final), CLOSED, INDEX (the index is damaged: it is
 * rebuilt), LOST (what an earlier point has there cannot be read).
 */
export type StoreErrorCode =
  | 'NOT_A_STORE'
  | 'EXISTS'
  | 'BUSY'
  | 'UNSUPPORTED'
  | 'CORRUPT'
  | 'MISSING'
  | 'NO_SPACE'
  | 'IO'
  | 'CLOSED'
  | 'INDEX'
  | 'LOST';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
