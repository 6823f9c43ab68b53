/**
 * NOT_FOUND (no such alarm), FROZEN (nothing may be deleted until a person has looked), LOCKED (the lockdown forbids
 * it), IMPOSSIBLE (the lockdown is on already, or off), REFUSED (a message, permanently).
 */
export type AlarmErrorCode = 'NOT_FOUND' | 'FROZEN' | 'LOCKED' | 'IMPOSSIBLE' | 'REFUSED';

export class AlarmError extends Error {
  override readonly name = 'AlarmError';
  readonly code: AlarmErrorCode;
  constructor(code: AlarmErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
