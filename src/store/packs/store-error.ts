import { CodedError } from '../../lib/coded-error.ts';

/**
 * NOT_A_STORE, EXISTS (the place is taken), BUSY (another writer; the message names it), UNSUPPORTED (from a later
 * release), CORRUPT, MISSING (a referenced block is nowhere), NO_SPACE, IO (the medium failed; final for a writer),
 * CLOSED, INDEX (the index is damaged: it is rebuilt), LOST (data of an earlier point cannot be read).
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

export class StoreError extends CodedError<StoreErrorCode> {
  override readonly name = 'StoreError';
}
