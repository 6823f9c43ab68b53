export type HostErrorCode =
  /** What was asked for makes no sense on this machine. */
  | 'BAD_REQUEST'
  | 'NOT_FOUND'
  /** It could be done, and is not: the message says what has to be done first. */
  | 'REFUSED'
  /** A change waits to be confirmed. */
  | 'PENDING'
  | 'TOOL_MISSING'
  /** A program failed at it. */
  | 'FAILED'
  /** A file of ours is not as we wrote it. */
  | 'CORRUPT';

/** What went wrong with the machine itself, in words for its administrator. */
export class HostError extends Error {
  override readonly name = 'HostError';
  readonly code: HostErrorCode;
  constructor(code: HostErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
