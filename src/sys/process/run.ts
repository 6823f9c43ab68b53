import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { SystemError, systemError } from '../base/system-error.ts';

/** Output beyond this cannot be a sensible answer; the rest is dropped. */
const OUTPUT_LENGTH_MAX = 16 * 1024 * 1024;

export interface Finished {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  /** Its standard input; empty by default. */
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Lent; the program gets them as descriptors 3 and up. */
  readonly descriptors?: readonly number[];
  /** Added to our own. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A program that runs beside this process; disposing ends it (SIGTERM, then SIGKILL) and waits. */
export interface Program extends AsyncDisposable {
  readonly pid: number;
  readonly exited: Promise<Finished>;
  kill(signal: NodeJS.Signals): void;
}

export interface StartOptions {
  /** `inherit`: the program uses our terminal. `capture`: its output ends up in `exited`. */
  readonly output: 'inherit' | 'capture';
}

const TERMINATE_MS = 5000;

/** Starts a program with an argument list; no shell ever sees it. Rejects NOT_FOUND if it is missing. */
export async function start(
  command: string,
  args: readonly string[],
  { output }: StartOptions,
): Promise<Program> {
  const child = spawn(command, args, {
    stdio: output === 'inherit' ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  const exited = finished(child);
  // Callers that await it still see the failure.
  exited.catch(() => {});
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(missing(command, cause)));
  });
  let isRunning = true;
  const ended = exited.finally(() => (isRunning = false)).catch(() => {});
  return {
    pid: child.pid!,
    exited,
    kill: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      if (!isRunning) return;
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), TERMINATE_MS);
      await ended;
      clearTimeout(hard);
    },
  };
}

/** Runs a program to its end. The caller judges its exit code. */
export async function run(
  command: string,
  args: readonly string[],
  { timeoutMs, signal, input, descriptors = [], environment }: RunOptions = {},
): Promise<Finished> {
  const stop = [signal, timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)];
  const child = spawn(command, args, {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...descriptors],
    signal: AbortSignal.any(stop.filter((it) => it !== undefined)),
    killSignal: 'SIGKILL',
    ...(environment && { env: { ...process.env, ...environment } }),
  });
  // It may end without reading its input: the exit code shows that.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  try {
    return await finished(child);
  } catch (cause) {
    throw missing(command, cause);
  }
}

/** Like `run`; any exit code but 0 is FAILED, with the last part of its standard error. */
export async function runOrFail(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, signal, stdout, stderr } = await run(command, args, options);
  if (code === 0) return stdout;
  const end = code === undefined ? `ended by ${signal}` : `exit code ${code}`;
  throw new SystemError('FAILED', `${command}: ${stderr.trim().slice(-2000) || end}`);
}

function missing(command: string, cause: unknown): SystemError {
  return systemError(cause, `start ${command}`);
}

function finished(child: ChildProcess): Promise<Finished> {
  const stdout = collected(child.stdout);
  const stderr = collected(child.stderr);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve({
        code: code ?? undefined,
        signal: signal ?? undefined,
        stdout: stdout(),
        stderr: stderr(),
      }),
    );
  });
}

function collected(stream: NodeJS.ReadableStream | null): () => string {
  const parts: Buffer[] = [];
  let length = 0;
  stream?.on('data', (part: Buffer) => {
    if (length < OUTPUT_LENGTH_MAX) parts.push(part);
    length += part.length;
  });
  return () => Buffer.concat(parts).toString('utf8');
}

/** Whether this process is root's. */
export function isSuperuser(): boolean {
  return process.getuid?.() === 0;
}

/** capabilities(7). */
const CAP_NET_BIND_SERVICE = 10n;

/**
 * Whether this process may listen on ports below 1024: usually root, and a service to which systemd gave that
 * capability.
 */
export function mayListenOnLowPorts(): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> CAP_NET_BIND_SERVICE) & 1n) === 1n;
}
