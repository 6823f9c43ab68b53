import { CodedError } from '../../lib/coded-error.ts';

/**
 * UNREACHABLE (it or the way to it is down), AUTH (it does not accept our credentials), IDENTITY (it shows another key
 * or certificate than it did when it was added), DENIED (the account lacks a right), NOT_FOUND, EXISTS, BUSY (another
 * job is running there), NO_SPACE, UNSUPPORTED (by its version, or by the machine's configuration), LICENCE, LOST (it
 * can no longer count the changes since a recovery point), CONFLICT (something there is not as it was left, or not
 * ours), FAILED (the rest).
 */
export type HypervisorErrorCode =
  | 'UNREACHABLE'
  | 'AUTH'
  | 'IDENTITY'
  | 'DENIED'
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'BUSY'
  | 'NO_SPACE'
  | 'UNSUPPORTED'
  | 'LICENCE'
  | 'LOST'
  | 'CONFLICT'
  | 'FAILED';

interface HypervisorErrorOptions extends ErrorOptions {
  /** Its own words and number, verbatim, for the log. */
  readonly native?: string | undefined;
}

/** A hypervisor refused something, or cannot be reached. */
export class HypervisorError extends CodedError<HypervisorErrorCode> {
  override readonly name = 'HypervisorError';
  readonly native: string | undefined;
  constructor(code: HypervisorErrorCode, message: string, options?: HypervisorErrorOptions) {
    super(code, message, options);
    this.native = options?.native;
  }
}

/** The connection is of no use any longer: another has to be opened. */
export const isAway = (cause: unknown): boolean =>
  cause instanceof HypervisorError && cause.code === 'UNREACHABLE';
