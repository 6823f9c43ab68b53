import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createWriteStream, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openNbdDisk } from '../src/block/nbd-client/nbd-disk.ts';
import { figure, seconds, section } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { ended, residentNow } from './measure.ts';

const MAIN = new URL('../src/cli/main.ts', import.meta.url).pathname;
const DAEMON = new URL('../src/daemon/main.ts', import.meta.url).pathname;
const MiB = 2 ** 20;
/** Incompressible, so that each worker has all that it can do. */
const BESIDE_LENGTH = 1536 * MiB;
const READ_SECONDS = 5;

/** How much a guest of the service notices of a backup and of a check that run at the same time. */
export async function benchService(work: string, { store }: Holdfast): Promise<void> {
  section('A guest of the service: 4 KiB reads, depth 1');
  const socket = join(work, 'control.sock');
  const image = join(work, 'beside.raw');
  await writeNoise(image);
  const ask = (...args: string[]): Record<string, unknown> => {
    const words = [MAIN, ...args, '--socket', socket, '--json'];
    const lines = execFileSync(process.execPath, words, { encoding: 'utf8' }).trim().split('\n');
    return JSON.parse(lines.at(-1)!) as Record<string, unknown>;
  };
  const settings = join(work, 'holdfastd.json');
  const passphrase = join(store, '..', 'passphrase');
  writeFileSync(
    settings,
    JSON.stringify({ store, socket, passphraseFiles: { bench: passphrase } }),
  );
  const started = performance.now();
  const service = spawn(process.execPath, [DAEMON, '--config', settings], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    await isReady(service);
    const ready = (performance.now() - started) / 1000;
    figure('start to READY', seconds(ready), 'limit 1 s', { ratio: 1 / ready, aim: '1x' });
    const idle = residentNow(service.pid!);
    figure('resident, idle', `${(idle / MiB).toFixed(0)} MiB`, 'limit 150 MiB', {
      ratio: (150 * MiB) / idle,
      aim: '1x',
    });
    const session = ask('recover', 'vm@latest', '--detach');
    const [{ uri }] = session['exports'] as [{ uri: string }];
    await reads(uri);
    const quiet = await reads(uri);
    show('alone', quiet);
    const disk = ['--machine', 'beside', '--disk', `vda=${image}`];
    const backup = ask('backup', 'create', 'bench', ...disk, '--queue');
    show('while a backup runs', await reads(uri), quiet);
    ask('job', 'attend', backup['job'] as string);
    const check = ask('store', 'check', '--read-data', '--queue');
    show('while a check runs', await reads(uri), quiet);
    ask('job', 'attend', check['job'] as string);
    ask('session', 'stop', session['session'] as string);
    ask('session', 'discard', session['session'] as string);
  } finally {
    await ended(service, 'SIGTERM');
  }
}

interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

function show(when: string, { p50, p99, max }: Latency, quiet?: Latency): void {
  const times = `${p50.toFixed(3)} / ${p99.toFixed(3)} ms`;
  const ratio = quiet && { ratio: quiet.p99 / p99 };
  figure(`${when}, p50 / p99`, times, `at most ${max.toFixed(0)} ms`, ratio);
}

async function reads(uri: string): Promise<Latency> {
  await using disk = await openNbdDisk(uri);
  const pages = Math.floor(disk.geometry.size / 4096);
  const into = new Uint8Array(4096);
  const times: number[] = [];
  const end = performance.now() + READ_SECONDS * 1000;
  for (let page = 1; performance.now() < end; page = (page * 48_271 + 11) % 2_147_483_647) {
    const started = performance.now();
    await disk.read(into, (page % pages) * 4096);
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.floor(times.length * part)]!;
  return { p50: at(0.5), p99: at(0.99), max: times.at(-1)! };
}

export async function isReady(service: ChildProcess): Promise<void> {
  for await (const line of createInterface(service.stderr!)) {
    if (!line.includes(' ready: ')) continue;
    service.stderr!.resume();
    return;
  }
  throw new Error('the service ended before it was ready');
}

async function writeNoise(path: string): Promise<void> {
  const out = createWriteStream(path);
  for (let at = 0; at < BESIDE_LENGTH; at += 16 * MiB) {
    if (!out.write(randomBytes(16 * MiB))) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
}
