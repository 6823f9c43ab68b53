import { parentPort, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads';
import { systemError } from '../base/system-error.ts';

/** A thread that runs our own code. `In` is the type of messages to it, `Out` of messages from it. */
export interface WorkerThread<In, Out> extends AsyncDisposable {
  post(message: In): void;
  /** Set before the first turn of the event loop after the start. */
  onMessage: (message: Out) => void;
  /** Called once if the thread could not be started, died of an uncaught error, or ended unexpectedly. */
  onFailure: (error: Error) => void;
  /** Sets whether it keeps the process alive. */
  hold(keep: boolean): void;
}

const NO_ROOM = 'ERR_WORKER_INIT_FAILED';

/** If the machine cannot start another thread, `onFailure` is called, as for one that dies later. */
export function startWorker<In, Out>(
  script: URL,
  data: unknown,
  make = (workerData: unknown) => new Worker(script, { workerData }),
): WorkerThread<In, Out> {
  let worker: Worker;
  try {
    worker = make(data);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== NO_ROOM) throw cause;
    return neverStarted(systemError(cause, 'start a thread'));
  }
  let stopping = false;
  let failure: Error | undefined;
  const thread: WorkerThread<In, Out> = {
    post: (message) => worker.postMessage(message),
    onMessage() {},
    onFailure() {},
    hold: (keep) => (keep ? worker.ref() : worker.unref()),
    async [Symbol.asyncDispose]() {
      stopping = true;
      await worker.terminate();
    },
  };
  worker.on('message', (message: Out) => thread.onMessage(message));
  // After an uncaught error this waits for `exit`: only then does the thread touch nothing any longer.
  worker.on('error', (error: Error) => {
    failure = error;
  });
  worker.on('exit', (code) => {
    if (stopping) return;
    thread.onFailure(failure ?? new Error(`${script.pathname} ended with code ${code}`));
  });
  return thread;
}

function neverStarted<In, Out>(failure: Error): WorkerThread<In, Out> {
  let isDisposed = false;
  const thread: WorkerThread<In, Out> = {
    post() {},
    onMessage() {},
    onFailure() {},
    hold() {},
    async [Symbol.asyncDispose]() {
      isDisposed = true;
    },
  };
  setImmediate(() => isDisposed || thread.onFailure(failure));
  return thread;
}

/** The thread's own side. */
export interface WorkerSide<In, Out> {
  readonly data: unknown;
  post(message: Out): void;
  listen(receive: (message: In) => void): void;
  /** The next message that has arrived, for a thread that waits outside its event loop. */
  receive(): In | undefined;
}

export function workerSide<In, Out>(): WorkerSide<In, Out> {
  return {
    data: workerData,
    post: (message) => parentPort!.postMessage(message),
    listen: (receive) => void parentPort!.on('message', receive),
    receive: () => receiveMessageOnPort(parentPort!)?.message as In | undefined,
  };
}
