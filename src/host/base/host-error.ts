import { CodedError } from '../../lib/coded-error.ts';

export type HostErrorCode =
  /** The request makes no sense on this machine. */
  | 'BAD_REQUEST'
  | 'NOT_FOUND'
  /** It is refused for now: the message says what to do first. */
  | 'REFUSED'
  /** A change waits to be confirmed. */
  | 'PENDING'
  | 'TOOL_MISSING'
  /** A program failed. */
  | 'FAILED'
  /** A file of ours is damaged or was altered. */
  | 'CORRUPT';

/** A failure of the machine itself, described for its administrator. */
export class HostError extends CodedError<HostErrorCode> {
  override readonly name = 'HostError';
}
