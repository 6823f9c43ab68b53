import { asError } from '../../lib/as-error.ts';
import type { RequestOf, ResultOf, WorkerOperationName } from '../../operations/operations.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { startOwnProcess } from '../../sys/process/own-process.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { CallOptions } from '../base/call.ts';
import { givingWay } from './giving-way.ts';
import {
  type ToWorker,
  type FromWorker,
  toldFailure,
  failureOf,
  type Work,
} from './worker-messages.ts';

/*
 * Long operations run in a process of their own: guests never wait for them, their memory is freed when they end, and
 * if one dies no session does. That process ends with the one that started it.
 */

/** Grace period between abort and SIGKILL: long enough to seal a pack. */
const ABORT_MS = 10_000;

export interface WorkerOptions {
  readonly store: string;
  /** The most bytes that the index of blocks takes; undefined: the default. */
  readonly indexMemory?: number | undefined;
  readonly clock: Clock;
  /** The secret files that the settings name. */
  readonly secretFiles: readonly string[];
  /** Bytes that guests have read and written since a fixed time: background work gives way while they grow. */
  readonly guestBytes: () => number;
}

export async function runInWorker<N extends WorkerOperationName>(
  { store, indexMemory, clock, secretFiles, guestBytes }: WorkerOptions,
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
  const quietGuests = givingWay(clock, guestBytes);
  worker.onMessage = (message) => {
    switch (message.kind) {
      case 'event':
        return report(message.event);
      case 'give way?':
        // It ends with the process, whose answers are no longer heard then.
        quietGuests().then(
          () => worker.post({ kind: 'go on' }),
          () => {},
        );
        return;
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
    (how) =>
      answered.reject(new SystemError('FAILED', `the process of this operation ended: ${how}`)),
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
  // The compiler does not see that a name goes with its own request.
  const work = { name, request } as Work;
  worker.post({ kind: 'start', store, indexMemory, work, secretFiles });
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
