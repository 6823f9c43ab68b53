import { AsyncLocalStorage } from 'node:async_hooks';
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Readable, Writable } from 'node:stream';
import { inspect } from 'node:util';
import { main } from '../../src/cli/run.ts';
import { rememberApart } from './box-state.ts';

/*
 * The command line, in two ways: `runCli` runs a command in this process, which takes a tenth of the time; `spawnCli`
 * and `startCli` run it as a process of its own, for tests of signals, pipes and what a process does when it ends.
 */
rememberApart();

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const LIMIT_MS = 120_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of stdout as JSON. */
  readonly lines: readonly Record<string, unknown>[];
  /** The last of them: the result. */
  readonly result: Record<string, unknown>;
}

export type Holdfast = (...args: string[]) => Promise<Ended>;

/** The command line on a store of its own, with an encrypted set `nightly`. */
export async function holdfastIn(
  directory: string,
  run: (words: readonly string[]) => Promise<Ended> = runCli,
) {
  const store = join(directory, 'store');
  const passphrase = join(directory, 'passphrase');
  writeFileSync(passphrase, 'correct horse\n');
  const common = ['--store', store, '--passphrase-file', passphrase, '--json'];
  const holdfast: Holdfast = (...args) => run([...args, ...common]);
  await expectDone(holdfast('store', 'create'));
  const made = await expectDone(holdfast('set', 'create', 'nightly', '--encrypt'));
  return {
    store,
    passphrase,
    holdfast,
    recoveryKey: made.result['recoveryKey'] as string,
    start: (...args: string[]) => startCli([...args, ...common]),
    /** Backs up disks (`vda=FILE`), or whatever else is given, as a recovery point of `machine` in `nightly`. */
    backUp: (machine: string, disks: readonly string[], ...more: string[]) =>
      holdfast(
        ...['backup', 'create', 'nightly', '--machine', machine, ...more],
        ...disks.flatMap((disk) => ['--disk', disk]),
      ),
  };
}

interface Streams {
  readonly stdout: Writable;
  readonly stderr: Writable;
}

/** The standard streams of the command that this code runs for, if it runs for one. */
const streams = new AsyncLocalStorage<Streams>();

for (const name of ['stdout', 'stderr'] as const) {
  const own = process[name];
  Object.defineProperty(process, name, { get: () => streams.getStore()?.[name] ?? own });
}
/** The program writes past these streams where its output is a file; a test that runs without tap may be such. */
const isOwnOutputFile = !fstatSync(1).isFIFO() && !fstatSync(1).isSocket();

/**
 * Runs a command in this process: the same entry as that of `holdfast`, without its start. Several may run at the same
 * time. Whatever is about the process itself is not part of it: signals, descriptors, standard input.
 */
export async function runCli(words: readonly string[]): Promise<Ended> {
  if (isOwnOutputFile) return spawnCli(words);
  const [stdout, stderr] = [collector(), collector()];
  const code = await streams.run({ stdout: stdout.stream, stderr: stderr.stream }, async () => {
    try {
      return await main(words);
    } catch (cause) {
      process.stderr.write(inspect(cause));
      return 1;
    }
  });
  return ended(code, stdout.text(), stderr.text());
}

function collector(): { readonly stream: Writable; text(): string } {
  const parts: Buffer[] = [];
  const stream = new Writable({
    write(part: Buffer, _encoding, done) {
      parts.push(part);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(parts).toString('utf8') };
}

/** The same as a process of its own. */
export function spawnCli(words: readonly string[]): Promise<Ended> {
  return collectedFrom(spawnCliIn([], words));
}

/** Starts one within another program, such as `nsenter`. */
export function spawnCliIn(within: readonly string[], words: readonly string[]): CliProcess {
  const [command = '', ...args] = [...within, process.execPath, MAIN, ...words];
  return spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

export type CliProcess = ChildProcessByStdio<null, Readable, Readable>;

/** What such a process has printed, once it has ended. */
export async function collectedFrom(child: CliProcess): Promise<Ended> {
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  const [stdout, stderr] = [collected(child.stdout), collected(child.stderr)];
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(limit);
  return ended(code, stdout(), stderr());
}

function ended(code: number | null, stdout: string, stderr: string): Ended {
  const lines = stdout.split('\n').flatMap(parsed);
  return { code, stdout, stderr, lines, result: lines.at(-1) ?? {} };
}

export async function expectDone(ended: Promise<Ended>): Promise<Ended> {
  const it = await ended;
  if (it.code !== 0) throw new Error(`exit code ${it.code}: ${it.stderr}${it.stdout}`);
  return it;
}

/** A command that runs until it is stopped, such as `recover`. */
export interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Its line `ready`. */
  readonly ready: { readonly session: string; readonly exports?: { readonly uri: string }[] };
  readonly uri: string;
  readonly ended: Promise<number | null>;
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

export async function startCli(args: readonly string[]): Promise<Running> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stderr = collected(child.stderr);
  const ended = once(child, 'close').then(([code]) => code as number | null);
  for await (const line of createInterface(child.stdout)) {
    const [event] = parsed(line);
    if (event?.['event'] !== 'ready') continue;
    child.stdout.resume();
    const ready = event as unknown as Running['ready'];
    const stop = (signal: NodeJS.Signals) => {
      child.kill(signal);
      return ended;
    };
    return {
      child,
      ready,
      ended,
      uri: ready.exports?.[0]?.uri ?? '',
      stop,
      [Symbol.asyncDispose]: async () => void (await stop('SIGKILL')),
    };
  }
  throw new Error(`it ended before it was ready: ${stderr()}`);
}

function collected(stream: NodeJS.ReadableStream): () => string {
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  return () => Buffer.concat(parts).toString('utf8');
}

function parsed(line: string): Record<string, unknown>[] {
  try {
    return [JSON.parse(line) as Record<string, unknown>];
  } catch {
    return [];
  }
}
