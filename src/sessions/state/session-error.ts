import { CodedError } from '../../lib/coded-error.ts';

/**
 * NOT_FOUND (no such session), RUNNING (another process serves it; the message names it), IMPOSSIBLE
 * (the session is past that step), CORRUPT, UNSUPPORTED (this machine cannot boot it).
 */
export type SessionErrorCode = 'NOT_FOUND' | 'RUNNING' | 'IMPOSSIBLE' | 'CORRUPT' | 'UNSUPPORTED';

export class SessionError extends CodedError<SessionErrorCode> {
  override readonly name = 'SessionError';
}
