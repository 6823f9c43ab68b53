import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Dataset, densestWindow } from './dataset.ts';
import { figure, section, skipped } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { dropCaches, ending, isInstalled, median, residentBytes } from './measure.ts';

const MiB = 2 ** 20;
/** Fits our cache of decoded blocks, as a running guest's working set would. */
const HOT_LENGTH = 96 * MiB;
const COLD_LENGTH = 256 * MiB;
const ROUNDS = 3;

interface Pattern {
  readonly name: string;
  readonly fio: readonly string[];
  readonly hotAim: string;
  readonly cold: boolean;
}

const PATTERNS: readonly Pattern[] = [
  {
    name: '4 KiB random, depth 1',
    fio: ['--rw=randread', '--bs=4k', '--iodepth=1'],
    hotAim: '1.5x',
    cold: true,
  },
  {
    name: '4 KiB random, depth 16',
    fio: ['--rw=randread', '--bs=4k', '--iodepth=16'],
    hotAim: '2x',
    cold: true,
  },
  {
    name: '4 KiB random, depth 64',
    fio: ['--rw=randread', '--bs=4k', '--iodepth=64'],
    hotAim: '2x',
    cold: false,
  },
  {
    name: '64 KiB random, depth 1',
    fio: ['--rw=randread', '--bs=64k', '--iodepth=1'],
    hotAim: '1.3x',
    cold: true,
  },
  {
    name: '64 KiB random, depth 16',
    fio: ['--rw=randread', '--bs=64k', '--iodepth=16'],
    hotAim: '1.3x',
    cold: true,
  },
  {
    name: '1 MiB sequential, depth 4',
    fio: ['--rw=read', '--bs=1m', '--iodepth=4'],
    hotAim: '1.5x',
    cold: false,
  },
];

interface Figures {
  readonly iops: number;
  readonly p99Ms: number;
}

/** NBD reads of our encrypted recovery point against qemu-nbd. */
export async function benchReads(work: string, data: Dataset, holdfast: Holdfast): Promise<void> {
  if (!isInstalled('fio') || !isInstalled('qemu-nbd'))
    return skipped('NBD reads', 'fio or qemu-nbd is not installed');
  await benchHot(data, holdfast);
  await benchCold(work, data, holdfast);
}

async function benchHot(data: Dataset, holdfast: Holdfast): Promise<void> {
  section('NBD reads, hot, against qemu-nbd on the raw file (page cache)');
  const offset = densestWindow(data.second, HOT_LENGTH);
  const place = [`--offset=${offset}`, `--size=${HOT_LENGTH}`];
  await using serving = await holdfast.recover('vm@latest');
  const socket = `/tmp/holdfast-bench-${process.pid}.sock`;
  await using _peer = await qemuNbd(data.second, 'raw', socket);
  const qemuUri = `nbd+unix:///vda?socket=${socket}`;
  for (const uri of [serving.uri, qemuUri])
    fio(uri, ['--rw=read', '--bs=1m', '--iodepth=4', ...place]);
  for (const { name, fio: pattern, hotAim } of PATTERNS) {
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      const timing = ['--time_based', '--runtime=2', ...place, ...pattern];
      ours.push(fio(serving.uri, timing).iops);
      theirs.push(fio(qemuUri, timing).iops);
    }
    const [a, b] = [median(ours), median(theirs)];
    figure(name, `${a.toFixed(0)}/s`, `qemu-nbd raw ${b.toFixed(0)}/s`, {
      ratio: a / b,
      aim: hotAim,
    });
  }
  const resident = residentBytes(serving.child.pid!) / MiB;
  figure('resident memory while serving, MiB', resident.toFixed(0), 'limit 400', {
    ratio: 400 / resident,
    aim: '1x',
  });
}

async function benchCold(work: string, data: Dataset, holdfast: Holdfast): Promise<void> {
  section('NBD reads, cold, against qemu-nbd on a zstd qcow2 of the same disk');
  if (!dropCaches()) return skipped('cold reads', 'only root can empty the page cache');
  const qcow2 = join(work, 'peer.qcow2');
  if (!existsSync(qcow2)) {
    execFileSync('qemu-img', [
      'convert',
      '-c',
      '-O',
      'qcow2',
      '-o',
      'compression_type=zstd',
      data.second,
      qcow2,
    ]);
  }
  const offset = densestWindow(data.second, COLD_LENGTH);
  for (const { name, fio: pattern, cold } of PATTERNS.filter(({ cold }) => cold)) {
    if (!cold) continue;
    const count = pattern.includes('--bs=4k') ? 4000 : 2000;
    const some = [
      `--number_ios=${count}`,
      `--offset=${offset}`,
      `--size=${COLD_LENGTH}`,
      ...pattern,
    ];
    const [ours, theirs]: [Figures[], Figures[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      // What the round before read would be fetched ahead: that is not what is measured here.
      rmSync(join(holdfast.store, 'sets', 'bench', 'profiles'), { recursive: true });
      mkdirSync(join(holdfast.store, 'sets', 'bench', 'profiles'));
      dropCaches();
      {
        await using serving = await holdfast.recover('vm@latest');
        ours.push(fio(serving.uri, some));
      }
      dropCaches();
      const socket = `/tmp/holdfast-bench-${process.pid}.sock`;
      await using _peer = await qemuNbd(qcow2, 'qcow2', socket);
      theirs.push(fio(`nbd+unix:///vda?socket=${socket}`, some));
    }
    const [a, b] = [median(ours.map(({ iops }) => iops)), median(theirs.map(({ iops }) => iops))];
    const [p, q] = [
      median(ours.map(({ p99Ms }) => p99Ms)),
      median(theirs.map(({ p99Ms }) => p99Ms)),
    ];
    figure(name, `${a.toFixed(0)}/s`, `qemu-nbd zstd ${b.toFixed(0)}/s`, {
      ratio: a / b,
      aim: '1.5x',
    });
    figure('  99th percentile, ms', p.toFixed(2), q.toFixed(2), {
      ratio: q / p,
      ...(name.includes('depth 1 ') && { aim: 'below 1 ms' }),
    });
  }
}

async function qemuNbd(image: string, format: string, socket: string): Promise<AsyncDisposable> {
  const args = ['-r', '-t', '-e', '16', '-f', format, '-k', socket, '-x', 'vda', image];
  const child = spawn('qemu-nbd', args, { stdio: 'ignore' });
  for (let n = 0; n < 200 && !existsSync(socket); n++) await new Promise((r) => setTimeout(r, 20));
  await new Promise((r) => setTimeout(r, 100));
  return ending(child, 'SIGTERM');
}

function fio(uri: string, args: readonly string[]): Figures {
  const common = [
    '--name=read',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--output-format=json',
    '--randrepeat=1',
  ];
  const text = execFileSync('fio', [...common, ...args], { maxBuffer: 2 ** 26 }).toString();
  const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as {
    jobs: { read: { iops: number; clat_ns: { percentile?: Record<string, number> } } }[];
  };
  const { read } = jobs[0]!;
  return { iops: read.iops, p99Ms: (read.clat_ns.percentile?.['99.000000'] ?? 0) / 1e6 };
}
