import { CodedError } from '../../lib/coded-error.ts';

/**
 * BAD_IMAGE (truncated, corrupt, or not of the given format), REFUSED (an image that names other files), BAD_CHANGES
 * (an invalid changed-block list), EXISTS (a restore's target), TOO_SMALL (likewise), UNSUPPORTED, VERIFY (written
 * data reads back differently).
 */
export type IngestErrorCode =
  | 'BAD_IMAGE'
  | 'REFUSED'
  | 'BAD_CHANGES'
  | 'EXISTS'
  | 'TOO_SMALL'
  | 'UNSUPPORTED'
  | 'VERIFY';

export class IngestError extends CodedError<IngestErrorCode> {
  override readonly name = 'IngestError';
}
