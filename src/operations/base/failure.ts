/** Kinds of failure that a script may want to distinguish, and the exit codes of `holdfast`. */
export const EXIT_CODES = {
  failed: 1,
  usage: 2,
  'in-use': 3,
  'wrong-key': 4,
  'not-found': 5,
  corrupt: 6,
  'no-space': 7,
  denied: 8,
  unreachable: 9,
  'not-proven': 10,
  interrupted: 130,
} as const;

export type FailureKind = keyof typeof EXIT_CODES;

/** What is known of a failure besides its kind. */
export interface FailureDetails {
  /** The set whose key has to come with the request. */
  readonly needsKeyOf?: string | undefined;
  /** The set whose passkey has to come with the request. */
  readonly needsPasskeyOf?: string | undefined;
  /** Whether a job should try again; undefined: as after others of its kind. */
  readonly again?: 'never' | 'soon' | 'until' | undefined;
}

/** An operation failed in another process, which said so. */
export class OperationFailure extends Error {
  override readonly name = 'OperationFailure';
  readonly kind: FailureKind;
  readonly needsKeyOf: string | undefined;
  readonly needsPasskeyOf: string | undefined;
  readonly again: FailureDetails['again'];
  constructor(kind: FailureKind, message: string, details: FailureDetails = {}) {
    super(message);
    this.kind = kind;
    this.needsKeyOf = details.needsKeyOf;
    this.needsPasskeyOf = details.needsPasskeyOf;
    this.again = details.again;
  }
}
