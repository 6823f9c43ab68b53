import { CodedError } from '../lib/coded-error.ts';

/**
 * NOT_FOUND (no such set, recovery point or profile), AMBIGUOUS (a prefix of several), EXISTS, WRONG_KEY (also if no
 * key was given), PASSKEY (the same for the set's passkey), IN_USE (the message names the user), KEPT (a recovery
 * point, or what opens one, that may not be removed: the message says why), FULL (it has as many as there can be),
 * BAD_NAME, CORRUPT, ALTERED (not the set that this box knows).
 */
export type CatalogErrorCode =
  | 'NOT_FOUND'
  | 'AMBIGUOUS'
  | 'EXISTS'
  | 'WRONG_KEY'
  | 'PASSKEY'
  | 'IN_USE'
  | 'KEPT'
  | 'FULL'
  | 'BAD_NAME'
  | 'CORRUPT'
  | 'ALTERED';

export class CatalogError extends CodedError<CatalogErrorCode> {
  override readonly name = 'CatalogError';
}
