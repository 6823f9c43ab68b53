import { asError } from '../../lib/as-error.ts';
import {
  type FailureDetails,
  type FailureKind,
  OperationFailure,
} from '../../operations/base/failure.ts';
import type { Report } from '../../operations/events.ts';
import type { RequestOf, WorkerOperationName } from '../../operations/operations.ts';
import { ownAgain } from '../base/again.ts';
import { firstFailure, kindOfFailure } from '../base/failures.ts';
import type { GivenSecret, SecretSource } from '../base/engine.ts';

/** One operation, with its own request. */
export type Work<N extends WorkerOperationName = WorkerOperationName> = {
  readonly [K in N]: { readonly name: K; readonly request: RequestOf<K> };
}[N];

/** Messages to the process. The first one starts it. */
export type ToWorker =
  | {
      readonly kind: 'start';
      readonly store: string;
      /** Undefined: the default. */
      readonly indexMemory: number | undefined;
      readonly work: Work;
      readonly secretFiles: readonly string[];
    }
  | { readonly kind: 'secret'; readonly set: string; readonly secret: GivenSecret | undefined }
  | { readonly kind: 'no secret'; readonly set: string; readonly failure: Failure }
  /** Guests leave the disk alone, or have kept it long enough. */
  | { readonly kind: 'go on' }
  | { readonly kind: 'abort' };

export type FromWorker =
  | { readonly kind: 'event'; readonly event: Parameters<Report>[0] }
  | {
      readonly kind: 'secret?';
      readonly set: string;
      readonly when: Parameters<SecretSource>[1];
    }
  | { readonly kind: 'give way?' }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly failure: Failure };

export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
  readonly again?: FailureDetails['again'];
}

/** Undefined: a bug of our own. */
export function toldFailure(error: unknown): Failure | undefined {
  const cause = firstFailure(error);
  const kind = kindOfFailure(cause);
  return kind && { kind, message: asError(cause).message, again: ownAgain(cause) };
}

export function failureOf({ kind, message, again }: Failure): OperationFailure {
  return new OperationFailure(kind, message, { again });
}
