/**
 * NOT_FOUND (no such session), RUNNING (another process serves it; the message names it), IMPOSSIBLE
 * (the session is past that step), CORRUPT, UNSUPPORTED (this machine cannot boot it).
 */
export type SessionErrorCode = 'NOT_FOUND' | 'RUNNING' | 'IMPOSSIBLE' | 'CORRUPT' | 'UNSUPPORTED';

export class SessionError extends Error {
  override readonly name = 'SessionError';
  readonly code: SessionErrorCode;
  constructor(code: SessionErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
