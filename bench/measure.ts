import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';

/** How a command went: seconds on the wall, and the most memory that it had. */
export interface Run {
  readonly seconds: number;
  readonly peakBytes: number;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs a command to its end; throws with its last words if it fails. */
export async function timed(
  [command, ...args]: readonly string[],
  { env, cwd }: CommandOptions = {},
): Promise<Run> {
  const started = performance.now();
  const child = spawn(command!, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd && { cwd }),
  });
  let last = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => (last = (last + text.toString()).slice(-2000)));
  }
  let peakBytes = 0;
  const poll = setInterval(() => (peakBytes = Math.max(peakBytes, residentBytes(child.pid!))), 20);
  const [code] = (await once(child, 'close')) as [number | null];
  clearInterval(poll);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit code ${code}: ${last}`);
  return { seconds: (performance.now() - started) / 1000, peakBytes };
}

/** The most that a process had resident so far; 0: it has gone. */
export function residentBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** What a process has resident now. */
export function residentNow(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s*(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

export function isInstalled(command: string): boolean {
  return spawnSync('which', [command]).status === 0;
}

/** Whether what was read before is forgotten now: only root can make the kernel forget. */
export function dropCaches(): boolean {
  try {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Disposing ends it: a measurement that fails leaves no server behind. */
export function ending(child: ChildProcess, signal: NodeJS.Signals): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => ended(child, signal) };
}

export async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}
