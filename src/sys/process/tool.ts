import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { SystemError, systemError } from '../base/system-error.ts';

/*
 * Third-party programs that work on untrusted data. Each is a process group of its own that dies with us, however we
 * end (a signal of the kernel), that is killed as a group when its time is up, and that is given up if even that does
 * not end it: a program that sleeps in a dead file system cannot be killed, and must not be waited for. Start them
 * from the main thread: the signal comes when the starting thread ends.
 */
export interface ToolOptions {
  /** The time until it must have ended. */
  readonly timeoutMs?: number;
  /** The longest time without a byte of output; time in which we do not read the output does not count. */
  readonly idleMs?: number;
  readonly signal?: AbortSignal;
  /** Added to PATH, HOME, TMPDIR and a UTF-8 locale without translations. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Limit of its address space in bytes. */
  readonly memoryMax?: number;
}

export interface ToolEnd {
  /** Undefined: a signal ended it. */
  readonly code: number | undefined;
  /** Why we stopped it. */
  readonly stopped: 'timeout' | 'aborted' | 'killed' | undefined;
  /** The first part of its standard error. */
  readonly stderr: string;
}

export interface Tool extends AsyncDisposable {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Never rejects. */
  readonly ended: Promise<ToolEnd>;
  /** What it has written to its standard error. */
  stderr(): string;
  /** Kills its whole group at once. */
  kill(): void;
}

const STDERR_LENGTH_MAX = 64 * 1024;
/** Output beyond this cannot be a sensible answer. */
const STDOUT_LENGTH_MAX = 16 * 1024 * 1024;
/** A process that is not gone so long after a SIGKILL sleeps in the kernel. */
const GIVE_UP_MS = 3000;
const NOT_STARTED = /^(setpriv|prlimit): failed to execute/m;

/** Starts a tool. Rejects NOT_FOUND if the tool, `setpriv` or `prlimit` is missing (otherwise see `isMissing`). */
export async function startTool(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<Tool> {
  const { memoryMax, environment, signal, timeoutMs, idleMs } = options;
  const limits = ['--core=0', ...(memoryMax === undefined ? [] : [`--as=${memoryMax}`])];
  const words = [...limits, 'setpriv', '--pdeathsig', 'KILL', '--', command, ...args];
  const child = spawn('prlimit', words, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: { ...baseEnvironment(), ...environment },
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(systemError(cause, `start ${command}`)));
  });
  const stderr = firstOf(child.stderr);
  // It may end without reading its input: that is not a failure of ours.
  child.stdin.on('error', () => {});
  let stopped: ToolEnd['stopped'];
  let isOver = false;
  const { ended, giveUp } = endOf(child, () => ({ stopped, stderr: stderr() }));

  function stop(why: NonNullable<ToolEnd['stopped']>): void {
    // The process itself may have ended already: a child of it may keep its output open.
    if (stopped !== undefined || isOver) return;
    stopped = why;
    killGroup(child);
    setTimeout(giveUp, GIVE_UP_MS).unref();
  }
  const timers = [
    timeoutMs === undefined ? undefined : setTimeout(stop, timeoutMs, 'timeout'),
    idleMs === undefined ? undefined : watchIdle(child, idleMs, () => stop('timeout')),
  ];
  const onAbort = (): void => stop('aborted');
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  void ended.then(() => {
    isOver = true;
    for (const timer of timers) clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  });
  return {
    pid: child.pid!,
    stdin: child.stdin,
    stdout: child.stdout,
    ended,
    stderr,
    kill: () => stop('killed'),
    async [Symbol.asyncDispose]() {
      stop('killed');
      await ended;
    },
  };
}

/** Runs a tool to its end, and returns all its output; more than 16 MiB is an IO failure. */
export async function runTool(
  command: string,
  args: readonly string[],
  { input, ...options }: ToolOptions & { readonly input?: string } = {},
): Promise<ToolEnd & { readonly stdout: Buffer }> {
  await using tool = await startTool(command, args, options);
  const parts: Buffer[] = [];
  let length = 0;
  tool.stdout.on('data', (part: Buffer) => {
    length += part.length;
    if (length <= STDOUT_LENGTH_MAX) parts.push(part);
    else tool.kill();
  });
  tool.stdin.end(input ?? '');
  const end = await tool.ended;
  if (length > STDOUT_LENGTH_MAX) throw new SystemError('IO', `${command} printed too much`);
  return { ...end, stdout: Buffer.concat(parts) };
}

/** Whether the program itself was missing. */
export function isMissing({ code, stderr }: ToolEnd): boolean {
  return (code === 127 || code === 126) && NOT_STARTED.test(stderr);
}

function endOf(
  child: ChildProcess,
  about: () => Pick<ToolEnd, 'stopped' | 'stderr'>,
): { readonly ended: Promise<ToolEnd>; readonly giveUp: () => void } {
  const { promise: ended, resolve } = Promise.withResolvers<ToolEnd>();
  child.once('close', (code) => resolve({ code: code ?? undefined, ...about() }));
  return {
    ended,
    giveUp() {
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe?.destroy();
      child.unref();
      resolve({ code: undefined, ...about() });
    },
  };
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // It has just ended on its own.
  }
}

function watchIdle(child: ChildProcess, idleMs: number, onIdle: () => void): NodeJS.Timeout {
  const stdout = child.stdout as Readable & { readonly bytesRead: number };
  let seen = 0;
  let quietSince = performance.now();
  const timer = setInterval(
    () => {
      const now = performance.now();
      // Bytes that are buffered here wait for us, not for the tool.
      if (stdout.bytesRead !== seen || stdout.readableLength > 0) quietSince = now;
      seen = stdout.bytesRead;
      if (now - quietSince >= idleMs) onIdle();
    },
    Math.min(1000, idleMs / 4),
  );
  return timer;
}

function firstOf(stream: Readable): () => string {
  const parts: Buffer[] = [];
  let length = 0;
  stream.on('data', (part: Buffer) => {
    if (length < STDERR_LENGTH_MAX) parts.push(part);
    length += part.length;
  });
  return () => Buffer.concat(parts).toString('utf8').slice(0, STDERR_LENGTH_MAX);
}

function baseEnvironment(): Record<string, string> {
  const { PATH = '/usr/bin:/bin', HOME = '/', TMPDIR } = process.env;
  // Administrators' tools are often not on a user's path.
  const base = { PATH: `${PATH}:/usr/sbin:/sbin`, HOME, LC_ALL: 'C.UTF-8' };
  return TMPDIR === undefined ? base : { ...base, TMPDIR };
}
