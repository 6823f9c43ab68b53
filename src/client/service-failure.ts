import type { FailureKind } from '../operations/failure.ts';

/** What the service said went wrong. */
export class ServiceFailure extends Error {
  override readonly name = 'ServiceFailure';
  readonly kind: FailureKind;
  /** The set whose key has to come with the request. */
  readonly needsKeyOf: string | undefined;
  constructor(kind: FailureKind, message: string, needsKeyOf: string | undefined) {
    super(message);
    this.kind = kind;
    this.needsKeyOf = needsKeyOf;
  }
}
