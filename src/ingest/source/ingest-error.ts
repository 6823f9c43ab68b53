/**
 * BAD_IMAGE (truncated, corrupt, or not what it was said to be), REFUSED (an image that names other
 * files), BAD_CHANGES (a changed-block list that cannot be), EXISTS (a restore's target), TOO_SMALL
 * (likewise), UNSUPPORTED, VERIFY (what was written reads back as something else).
 */
export type IngestErrorCode =
  | 'BAD_IMAGE'
  | 'REFUSED'
  | 'BAD_CHANGES'
  | 'EXISTS'
  | 'TOO_SMALL'
  | 'UNSUPPORTED'
  | 'VERIFY';

export class IngestError extends Error {
  override readonly name = 'IngestError';
  readonly code: IngestErrorCode;
  constructor(code: IngestErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
