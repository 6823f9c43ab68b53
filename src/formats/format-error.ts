/**
 * TRUNCATED: ends before its own lengths say. BAD_MAGIC: something else. UNSUPPORTED: a version or
 * a flag of a later release. CORRUPT: a checksum, tag, digest or field that cannot be.
 */
export type FormatErrorCode = 'TRUNCATED' | 'BAD_MAGIC' | 'UNSUPPORTED' | 'CORRUPT';

/** Bytes that came from a disk or a peer and are not what they should be. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly code: FormatErrorCode;
  constructor(code: FormatErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
