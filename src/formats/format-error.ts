import { CodedError } from '../lib/coded-error.ts';

/**
 * TRUNCATED: ends before its own lengths say. BAD_MAGIC: another format. UNSUPPORTED: a version or a flag of a later
 * release. CORRUPT: a checksum, tag or digest that does not match, or a field with an impossible value.
 */
export type FormatErrorCode = 'TRUNCATED' | 'BAD_MAGIC' | 'UNSUPPORTED' | 'CORRUPT';

/** Bytes from a disk or a peer that are not valid. */
export class FormatError extends CodedError<FormatErrorCode> {
  override readonly name = 'FormatError';
}
