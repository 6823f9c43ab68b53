import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Dataset, densestWindow } from './dataset.ts';
import { figure, section, skipped } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { ended, isInstalled, median, residentBytes } from './measure.ts';

const MiB = 2 ** 20;
/** Fits our cache of decoded blocks, as a running guest's working set would. */
const HOT_LENGTH = 96 * MiB;
const ROUNDS = 3;
const EXAMPLE = '/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c';

interface Pattern {
  readonly name: string;
  readonly fio: readonly string[];
  readonly aim: string;
}

const PATTERNS: readonly Pattern[] = [
  { name: '1 MiB sequential, O_DIRECT', fio: ['--rw=read', '--bs=1m', '--direct=1'], aim: '2x' },
  {
    name: '1 MiB sequential, first reading',
    fio: ['--rw=read', '--bs=1m', '--invalidate=1'],
    aim: '1x',
  },
  { name: '4 KiB random, depth 1', fio: ['--rw=randread', '--bs=4k', '--direct=1'], aim: '1x' },
  {
    name: '4 KiB random, depth 16',
    fio: ['--rw=randread', '--bs=4k', '--direct=1', '--ioengine=libaio', '--iodepth=16'],
    aim: '1x',
  },
  {
    name: '4 KiB random, 4 jobs',
    fio: ['--rw=randread', '--bs=4k', '--direct=1', '--numjobs=4', '--group_reporting'],
    aim: '1x',
  },
  {
    name: '1 MiB sequential, read again',
    fio: ['--rw=read', '--bs=1m', '--invalidate=0'],
    aim: '1x',
  },
];

/** Disposing unmounts it. */
interface Peer extends AsyncDisposable {
  readonly name: string;
  readonly file: string;
}

/** Our encrypted recovery point, mounted, against FUSE servers that pass a raw file in memory through. */
export async function benchFuse(work: string, data: Dataset, holdfast: Holdfast): Promise<void> {
  section('FUSE, hot, against servers that pass the raw file through (in memory)');
  if (process.getuid?.() !== 0) return skipped('FUSE', 'only root may mount');
  if (!isInstalled('fio')) return skipped('FUSE', 'fio is not installed');
  const offset = densestWindow(data.second, HOT_LENGTH);
  const place = [`--offset=${offset}`, `--size=${HOT_LENGTH}`];
  const directory = join(work, 'ours');
  mkdirSync(directory);
  const child = await holdfast.mount(directory);
  const ours = join(directory, 'sets/bench/vm/latest/vda.raw');
  // O_DIRECT goes through to the medium: so that there is none to measure, the peers' file is in memory.
  const memory = `/dev/shm/holdfast-bench-${process.pid}`;
  mkdirSync(memory);
  try {
    const raw = join(memory, basename(data.second));
    execFileSync('cp', ['--sparse=always', data.second, raw]);
    for (const open of [passthrough, storageDaemon]) {
      await using peer = await open(work, raw);
      if (!peer) continue;
      for (const file of [ours, peer.file]) fio(file, ['--rw=read', '--bs=1m', ...place]);
      for (const { name, fio: pattern, aim } of PATTERNS) {
        const [a, b]: [number[], number[]] = [[], []];
        for (let round = 0; round < ROUNDS; round++) {
          const timing = ['--time_based', '--runtime=2', ...place, ...pattern];
          a.push(fio(ours, timing));
          b.push(fio(peer.file, timing));
        }
        const [us, them] = [median(a), median(b)];
        const theirs = `${peer.name} ${them.toFixed(0)}/s`;
        figure(name, `${us.toFixed(0)}/s`, theirs, { ratio: us / them, aim });
      }
    }
  } finally {
    execFileSync('rm', ['-rf', memory]);
    const resident = residentBytes(serverOf(child)) / MiB;
    figure('resident memory while serving, MiB', resident.toFixed(0), 'limit 400', {
      ratio: 400 / resident,
      aim: '1x',
    });
    await ended(child, 'SIGTERM');
  }
}

function serverOf({ pid }: ChildProcess): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').at(-1));
}

/** libfuse's example, built from the source that its package brings. */
async function passthrough(work: string, raw: string): Promise<Peer | undefined> {
  const name = 'passthrough_ll';
  if (!existsSync(EXAMPLE) || !isInstalled('gcc') || !isInstalled('pkg-config')) {
    skipped(name, 'libfuse3-dev, gcc or pkg-config is not installed');
    return undefined;
  }
  const program = join(work, name);
  const flags = execFileSync('pkg-config', ['fuse3', '--cflags', '--libs'], { encoding: 'utf8' });
  const source = [`-I${join(EXAMPLE, '..')}`, EXAMPLE];
  execFileSync('gcc', ['-O2', ...source, ...flags.trim().split(/\s+/), '-o', program]);
  const at = join(work, 'passthrough');
  mkdirSync(at);
  const options = `source=${join(raw, '..')},cache=always`;
  const child = spawn(program, ['-f', '-o', options, at], { stdio: 'ignore' });
  const file = join(at, basename(raw));
  return comeUp({ name, file, ...mounted(child, at) }, () => existsSync(file));
}

async function storageDaemon(work: string, raw: string): Promise<Peer | undefined> {
  const name = 'qemu-storage-daemon';
  if (!isInstalled(name)) {
    skipped(name, 'it is not installed');
    return undefined;
  }
  const at = join(work, 'storage-daemon');
  writeFileSync(at, '');
  const child = spawn(
    name,
    [
      ...['--blockdev', `driver=file,node-name=disk,filename=${raw},read-only=on`],
      ...['--export', `type=fuse,id=disk,node-name=disk,mountpoint=${at}`],
    ],
    { stdio: 'ignore' },
  );
  const isThere = () => readFileSync('/proc/mounts', 'utf8').includes(` ${at} `);
  return comeUp({ name, file: at, ...mounted(child, at) }, isThere);
}

function mounted(child: ChildProcess, at: string): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      spawnSync('umount', [at]);
      await ended(child, 'SIGTERM');
    },
  };
}

async function comeUp(peer: Peer, isThere: () => boolean): Promise<Peer> {
  await using stack = new AsyncDisposableStack();
  stack.use(peer);
  for (let tries = 0; !isThere(); tries++) {
    if (tries > 100) throw new Error(`${peer.name} does not come up`);
    await sleep(50);
  }
  stack.move();
  return peer;
}

/** Requests each second. */
function fio(file: string, options: readonly string[]): number {
  const common = ['--name=bench', `--filename=${file}`, '--readonly', '--output-format=json'];
  const said = execFileSync('fio', [...common, ...options], { encoding: 'utf8' });
  const [job] = JSON.parse(said.slice(said.indexOf('{'))).jobs;
  return job.read.iops;
}
