import { asError } from '../../lib/as-error.ts';
import type { FailureKind } from '../../operations/failure.ts';
import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Report } from '../../operations/results.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { startOwnProcess } from '../../sys/process/own-process.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { firstFailure, kindOfFailure, OperationFailure } from '../base/failures.ts';
import type { GivenSecret, SecretSource } from '../base/engine.ts';
import type { CallOptions } from '../operations/handlers.ts';

/*
 * Operations that take long run in a process of their own: guests never wait for them, what they use of memory is
 * given back when they end, and if one dies no session does. That process ends with the one that started it.
 */

/** What the process is told. The first starts it. */
export type ToWorker =
  | {
      readonly kind: 'start';
      readonly store: string;
      readonly name: OperationName;
      readonly request: unknown;
      readonly secretFiles: readonly string[];
    }
  | { readonly kind: 'secret'; readonly set: string; readonly secret: GivenSecret | undefined }
  | { readonly kind: 'no secret'; readonly set: string; readonly failure: Failure }
  | { readonly kind: 'abort' };

export type FromWorker =
  | { readonly kind: 'event'; readonly event: Parameters<Report>[0] }
  | {
      readonly kind: 'secret?';
      readonly set: string;
      readonly when: Parameters<SecretSource>[1];
    }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly failure: Failure };

export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
}

/** From the request to end to the end by force: a pack is sealed meanwhile. */
const ABORT_MS = 10_000;

export interface ApartOptions {
  readonly store: string;
  readonly clock: Clock;
  /** Those that the settings name. */
  readonly secretFiles: readonly string[];
}

export async function runApart<N extends OperationName>(
  { store, clock, secretFiles }: ApartOptions,
  name: N,
  request: RequestOf<N>,
  { secrets, signal, report }: CallOptions,
): Promise<ResultOf<N>> {
  signal.throwIfAborted();
  const script = new URL('./operation-worker.ts', import.meta.url);
  await using worker = await startOwnProcess<ToWorker, FromWorker>(script, {
    descriptors: [],
    servesFiles: false,
  });
  const answered = Promise.withResolvers<ResultOf<N>>();
  worker.onMessage = (message) => {
    switch (message.kind) {
      case 'event':
        return report(message.event);
      case 'done':
        return answered.resolve(message.result as ResultOf<N>);
      case 'failed':
        return answered.reject(failureOf(message.failure));
      case 'secret?': {
        const { set, when } = message;
        secrets(set, when).then(
          (secret) => worker.post({ kind: 'secret', set, secret }),
          (cause: unknown) => {
            const failure = toldFailure(cause);
            if (failure) worker.post({ kind: 'no secret', set, failure });
            else answered.reject(asError(cause));
          },
        );
      }
    }
  };
  worker.ended.then(
    (how) => answered.reject(new SystemError('FAILED', `the process that did it ended: ${how}`)),
    () => {},
  );
  const over = new AbortController();
  const abort = (): void => {
    worker.post({ kind: 'abort' });
    clock.sleep(ABORT_MS, over.signal).then(
      () => worker.kill('SIGKILL'),
      () => {},
    );
  };
  signal.addEventListener('abort', abort, { once: true });
  worker.post({ kind: 'start', store, name, request, secretFiles });
  try {
    return await answered.promise;
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  } finally {
    signal.removeEventListener('abort', abort);
    over.abort();
  }
}

/** Undefined: it is our own fault. */
export function toldFailure(error: unknown): Failure | undefined {
  const cause = firstFailure(error);
  const kind = kindOfFailure(cause);
  return kind && { kind, message: asError(cause).message };
}

export function failureOf({ kind, message }: Failure): OperationFailure {
  return new OperationFailure(kind, message);
}
