import { CodedError } from '../lib/coded-error.ts';

/**
 * NOT_FOUND (no such alarm), FROZEN (nothing may be deleted until a person has looked), LOCKED (the lockdown forbids
 * it), IMPOSSIBLE (the lockdown is on already, or off), REFUSED (a message, permanently).
 */
export type AlarmErrorCode = 'NOT_FOUND' | 'FROZEN' | 'LOCKED' | 'IMPOSSIBLE' | 'REFUSED';

export class AlarmError extends CodedError<AlarmErrorCode> {
  override readonly name = 'AlarmError';
}
