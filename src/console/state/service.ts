import type { Report } from '../../operations/events.ts';
import type { SentSecret } from '../../operations/base/secret.ts';
import type { FailureKind } from '../../operations/base/failure.ts';
import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';

/* Requests to the service, its answers, and the facts known from them. */

/** A request of the protocol. */
export type CallOf<N extends OperationName> = { readonly name: N; readonly request: RequestOf<N> };
export type Call = { [N in OperationName]: CallOf<N> }[OperationName];

/** Work that a user starts, and that changes something. `title`: as the log shows it, `recover web1-...`. */
export interface Work {
  readonly title: string;
  readonly call: Call;
  readonly secret?: SentSecret | undefined;
  /** The passkey of a set. */
  readonly passkey?: string | undefined;
}

/** A request with its answer. */
export type AnswerOf<N extends OperationName> = CallOf<N> & { readonly result: ResultOf<N> };
export type Answer = { [N in OperationName]: AnswerOf<N> }[OperationName];

/** A report of the service while a request is under way. */
export type Reported = Parameters<Report>[0];

/** `gone`: nothing answers; otherwise an error that the service reported. */
export type Failure =
  | { readonly kind: 'gone'; readonly message: string }
  | {
      readonly kind: FailureKind;
      readonly message: string;
      readonly needsKeyOf: string | undefined;
      readonly needsPasskeyOf?: string | undefined;
    };

/** A fact that the service was asked for. `unknown` is never shown as "none". */
export type Known<T> =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'known'; readonly value: T; readonly atMs: number }
  | { readonly kind: 'refused'; readonly message: string };

export const UNKNOWN = { kind: 'unknown' } as const;

export function valueOf<T>(it: Known<T>): T | undefined {
  return it.kind === 'known' ? it.value : undefined;
}
