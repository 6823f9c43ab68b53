/**
 * NOT_FOUND, EXISTS, NO_SPACE (also a quota), DENIED (permissions, read-only), BUSY (held by someone
 * else), UNREACHABLE (no such peer, or it went away), FAILED (a program ended badly), IO (the rest).
 */
export type SystemErrorCode =
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'NO_SPACE'
  | 'DENIED'
  | 'BUSY'
  | 'UNREACHABLE'
  | 'FAILED'
  | 'IO';

/** The outside world failed us: `cause` holds what Node or the kernel said. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: SystemErrorCode;
  constructor(code: SystemErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
