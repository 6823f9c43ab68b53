/**
 * NOT_FOUND, EXISTS, NO_SPACE (also a quota), DENIED (permissions, read-only), BUSY (held by someone
 * else), UNREACHABLE (no such peer, or it went away), FAILED (a program ended badly), CORRUPT (a log of
 * ours is damaged), IO (the rest).
 */
export type SystemErrorCode =
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'NO_SPACE'
  | 'DENIED'
  | 'BUSY'
  | 'UNREACHABLE'
  | 'FAILED'
  | 'CORRUPT'
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

const CODES: Readonly<Record<string, SystemErrorCode>> = {
  ENOENT: 'NOT_FOUND',
  ENOTDIR: 'NOT_FOUND',
  EEXIST: 'EXISTS',
  ENOTEMPTY: 'EXISTS',
  ENOSPC: 'NO_SPACE',
  EDQUOT: 'NO_SPACE',
  EACCES: 'DENIED',
  EPERM: 'DENIED',
  EROFS: 'DENIED',
  EBUSY: 'BUSY',
  ETXTBSY: 'BUSY',
  EADDRINUSE: 'BUSY',
  ECONNREFUSED: 'UNREACHABLE',
  ECONNRESET: 'UNREACHABLE',
  EHOSTUNREACH: 'UNREACHABLE',
  ENETUNREACH: 'UNREACHABLE',
  ENOTFOUND: 'UNREACHABLE',
  ETIMEDOUT: 'UNREACHABLE',
  EPIPE: 'UNREACHABLE',
};

/** Turns what a Node call threw into a SystemError; `what` says what was being done to what. */
export function systemError(cause: unknown, what: string): SystemError {
  if (cause instanceof SystemError) return cause;
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? '';
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new SystemError(CODES[code] ?? 'IO', `${what}: ${detail}`, { cause });
}
