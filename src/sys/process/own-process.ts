import { type ChildProcess, spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { libc, SET_IO_FLUSHER } from '../base/libc.ts';
import { systemError } from '../base/system-error.ts';

/** A process that runs our own code, for work that may die, or be killed, at any time. Disposing kills it. */
export interface OwnProcess<In, Out> extends AsyncDisposable {
  readonly pid: number;
  readonly isRunning: boolean;
  post(message: In): void;
  /** Resolves with how it ended, as text. */
  readonly ended: Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Set before the first turn of the event loop after the start. */
  onMessage: (message: Out) => void;
}

/** A tenth of the share of a process that has not stepped back. */
const BACKGROUND_NICE = 10;

export interface OwnProcessOptions {
  /** Lent; the process gets them as descriptors 3 and up. */
  readonly descriptors: readonly number[];
  /** The kernel writes files out through this process: see `asFlusher`. */
  readonly servesFiles: boolean;
}

export async function startOwnProcess<In, Out>(
  script: URL,
  { descriptors, servesFiles }: OwnProcessOptions,
): Promise<OwnProcess<In, Out>> {
  const start = (): ChildProcess =>
    spawn(process.execPath, [fileURLToPath(script)], {
      stdio: ['ignore', 'ignore', 'inherit', ...descriptors, 'ipc'],
      serialization: 'advanced',
    });
  const child = servesFiles ? asFlusher(start) : start();
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  let isRunning = true;
  void ended.then(() => (isRunning = false));
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(systemError(cause, `start ${script.pathname}`)));
  });
  // Later errors come from messages to a process that has just died: `ended` reports that.
  child.on('error', () => {});
  const it: OwnProcess<In, Out> = {
    pid: child.pid!,
    get isRunning() {
      return isRunning;
    },
    ended,
    post(message) {
      if (isRunning) child.send(message as object, () => {});
    },
    kill: (signal) => void child.kill(signal),
    onMessage() {},
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
  child.on('message', (message) => it.onMessage(message as Out));
  return it;
}

/**
 * A process that serves a file system must not, when it needs memory, wait for the kernel to write something out
 * through that very file system (prctl(2), PR_SET_IO_FLUSHER); a child inherits the flag. Only root may set it;
 * others do without.
 */
function asFlusher<T>(start: () => T): T {
  const isOurs = libc().prctl(SET_IO_FLUSHER, 1) === 0;
  try {
    return start();
  } finally {
    if (isOurs) libc().prctl(SET_IO_FLUSHER, 0);
  }
}

/** The process's own side. */
export interface ProcessSide<In, Out> {
  post(message: Out): void;
  /** Resolves with the first message. */
  receive(): Promise<In>;
  /** Passes on all messages from now on. */
  listen(hear: (message: In) => void): void;
  /** Lets all other work of this machine go first. */
  stepBack(): void;
  /** Ignores the signals that a terminal or a service manager sends to all processes: the parent handles them. */
  leaveSignals(): void;
  /** Called when the process that started this one has gone. */
  onOrphaned(then: () => void): void;
  /** Closes the channel: the process ends when its work is done. */
  close(): void;
}

export function processSide<In, Out>(): ProcessSide<In, Out> {
  let underWay = 0;
  let isClosing = false;

  /** Messages still under way would be lost. */
  function disconnectOnceSaid(): void {
    if (isClosing && underWay === 0 && process.connected) process.disconnect();
  }
  return {
    post(message) {
      if (!process.connected) return;
      underWay++;
      process.send!(message, undefined, undefined, () => {
        underWay--;
        disconnectOnceSaid();
      });
    },
    receive: () => new Promise((resolve) => process.once('message', (it) => resolve(it as In))),
    listen: (hear) => void process.on('message', (it) => hear(it as In)),
    stepBack: () => setPriority(BACKGROUND_NICE),
    leaveSignals() {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
    },
    onOrphaned: (then) => void process.once('disconnect', then),
    close() {
      isClosing = true;
      disconnectOnceSaid();
    },
  };
}
