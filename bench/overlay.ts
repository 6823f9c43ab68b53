import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { figure, seconds, section, skipped } from './figures.ts';
import { type Holdfast, holdfastIn, type Serving } from './holdfast.ts';
import { ending, isInstalled, median, residentNow } from './measure.ts';

const MiB = 2 ** 20;
const TiB = 2 ** 40;
const ROUNDS = 3;
const RUN_SECONDS = 2;
/** Written over and over, as a guest's working set. */
const AREA = 64 * MiB;
/** Each round writes another part of the disk for the first time. */
const NOISE_LENGTH = AREA * (1 + ROUNDS);
const DISK_SIZE = 4 * NOISE_LENGTH;
const SCATTERED = 200_000;
const GROWTH_MAX = 64 * MiB;
const TICKS_PER_SECOND = 100;

interface Pattern {
  readonly name: string;
  readonly fio: readonly string[];
  readonly aim: string;
  /** Writes to pages that were not written before. */
  readonly isFirst?: boolean;
}

const D16 = '--iodepth=16';
const PATTERNS: readonly Pattern[] = [
  {
    name: '4 KiB, depth 16, first writes',
    fio: ['--rw=randwrite', '--bs=4k', D16],
    aim: '1x',
    isFirst: true,
  },
  { name: '4 KiB, depth 16', fio: ['--rw=randwrite', '--bs=4k', D16], aim: '2.2x' },
  { name: 're-read 4 KiB, depth 16', fio: ['--rw=randread', '--bs=4k', D16], aim: '2.5x' },
  {
    name: '4 KiB, depth 16, fsync each 32',
    fio: ['--rw=randwrite', '--bs=4k', D16, '--fsync=32'],
    aim: '1.3x',
  },
  {
    name: '4 KiB, depth 1, fsync each',
    fio: ['--rw=randwrite', '--bs=4k', '--iodepth=1', '--fsync=1'],
    aim: '0.9x',
  },
  { name: '64 KiB, depth 16', fio: ['--rw=randwrite', '--bs=64k', D16], aim: '0.6x' },
  { name: 're-read 64 KiB, depth 16', fio: ['--rw=randread', '--bs=64k', D16], aim: '1x' },
  { name: '1 MiB sequential, depth 4', fio: ['--rw=write', '--bs=1m', '--iodepth=4'], aim: '0.8x' },
  { name: 're-read 1 MiB, depth 4', fio: ['--rw=read', '--bs=1m', '--iodepth=4'], aim: '1.2x' },
];

interface Server {
  readonly name: string;
  readonly uri: string;
  readonly pid: number;
}

interface Sample {
  readonly perSecond: number;
  /** What the server takes for each request. */
  readonly cpuUs: number;
}

/**
 * What guests of sessions write, in an encrypted set, against qemu-nbd on a qcow2 overlay over the raw disk. `before`:
 * another checkout of this project.
 */
export async function benchOverlay(work: string, before: string | undefined): Promise<void> {
  for (const program of ['fio', 'qemu-nbd', 'qemu-img']) {
    if (!isInstalled(program)) return skipped('overlays', `${program} is not installed`);
  }
  const disk = join(work, 'overlay.raw');
  const file = openSync(disk, 'w');
  for (let at = 0; at < NOISE_LENGTH; at += 16 * MiB) writeSync(file, randomBytes(16 * MiB));
  closeSync(file);
  truncateSync(disk, DISK_SIZE);
  await using stack = new AsyncDisposableStack();
  const { holdfast, serving } = await sessionOf(join(work, 'overlay'), disk, undefined);
  const ours: Server = { name: 'ours', uri: serving.uri, pid: serving.child.pid! };
  await using owned = new AsyncDisposableStack();
  owned.use(serving);
  const peers = [stack.use(await qcow2Over(work, disk))];
  if (before !== undefined) {
    const { serving } = await sessionOf(join(work, 'before'), disk, before);
    stack.use(serving);
    peers.push({ name: 'before', uri: serving.uri, pid: serving.child.pid!, ...noop });
  }
  await benchRequests(ours, peers);
  await benchReopening(holdfast, owned, serving.session);
  await benchMemory(work);
}

const noop = { async [Symbol.asyncDispose]() {} };

async function benchRequests(ours: Server, peers: readonly Server[]): Promise<void> {
  section('Writes of a guest, against a qcow2 overlay over raw (qemu-nbd); server CPU a request');
  for (const server of [ours, ...peers]) {
    sample(server, ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${AREA}`]);
  }
  for (const { name, fio, aim, isFirst } of PATTERNS) {
    const samples = new Map<Server, Sample[]>([ours, ...peers].map((it) => [it, []]));
    for (let round = 0; round < ROUNDS; round++) {
      const offset = isFirst ? AREA * (1 + round) : 0;
      const timing = isFirst ? [] : ['--time_based', `--runtime=${RUN_SECONDS}`];
      const place = [`--offset=${offset}`, `--size=${AREA}`, ...timing];
      for (const [server, of] of samples) of.push(sample(server, [...fio, ...place]));
    }
    const middle = (server: Server): Sample => ({
      perSecond: median(samples.get(server)!.map((it) => it.perSecond)),
      cpuUs: median(samples.get(server)!.map((it) => it.cpuUs)),
    });
    const mine = middle(ours);
    for (const peer of peers) {
      const its = middle(peer);
      figure(name, textOf(mine), `${peer.name} ${textOf(its)}`, {
        ratio: mine.perSecond / its.perSecond,
        ...(peer.name === 'before' ? {} : { aim }),
      });
    }
  }
}

function textOf({ perSecond, cpuUs }: Sample): string {
  return `${perSecond.toFixed(0)}/s ${cpuUs.toFixed(0)} us`;
}

/** A session that was stopped, until it is served again. */
async function benchReopening(
  holdfast: Holdfast,
  running: AsyncDisposableStack,
  session: string,
): Promise<void> {
  await running.disposeAsync();
  await using again = await holdfast.recover('--resume', session);
  figure('resumed after all of these', seconds(again.readySeconds), '');
}

/** Pages that lie alone take the most memory of the map. */
async function benchMemory(work: string): Promise<void> {
  const disk = join(work, 'large.raw');
  closeSync(openSync(disk, 'w'));
  truncateSync(disk, TiB);
  const { serving } = await sessionOf(join(work, 'large'), disk, undefined);
  await using _serving = serving;
  const { pid } = serving.child;
  const server = { name: 'ours', uri: serving.uri, pid: pid! };
  const scattered = ['--rw=randwrite', '--bs=4k', D16, `--size=${TiB}`, '--norandommap'];
  sample(server, ['--rw=randwrite', '--bs=4k', D16, `--size=${AREA}`]);
  const before = residentNow(pid!);
  sample(server, [...scattered, `--number_ios=${SCATTERED}`]);
  const growth = Math.max(MiB, residentNow(pid!) - before);
  figure(
    `memory of ${SCATTERED} scattered writes over 1 TiB`,
    `${(growth / MiB).toFixed(0)} MiB`,
    'limit 64 MiB',
    {
      ...{ ratio: GROWTH_MAX / growth, aim: '1x' },
    },
  );
}

/** A new store with a backup of the disk, recovered. */
async function sessionOf(
  directory: string,
  disk: string,
  tree: string | undefined,
): Promise<{ readonly holdfast: Holdfast; readonly serving: Serving }> {
  const holdfast = await holdfastIn(directory, tree);
  await holdfast.run('backup', 'create', 'bench', '--machine', 'vm', '--disk', `vda=${disk}`);
  return { holdfast, serving: await holdfast.recover('vm@latest') };
}

async function qcow2Over(work: string, raw: string): Promise<Server & AsyncDisposable> {
  const overlay = join(work, 'overlay.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', overlay]);
  const socket = `/tmp/holdfast-bench-${process.pid}.sock`;
  const args = ['-t', '-e', '16', '-f', 'qcow2', '-k', socket, '-x', 'vda', overlay];
  const child = spawn('qemu-nbd', args, { stdio: 'ignore' });
  for (let n = 0; n < 200 && !existsSync(socket); n++) await sleep(20);
  await sleep(100);
  const uri = `nbd+unix:///vda?socket=${socket}`;
  return { name: 'qcow2', uri, pid: child.pid!, ...ending(child, 'SIGTERM') };
}

function sample({ uri, pid }: Server, args: readonly string[]): Sample {
  const common = ['--name=overlay', '--ioengine=nbd', `--uri=${uri}`, '--output-format=json'];
  const before = cpuSeconds(pid);
  const text = execFileSync('fio', [...common, '--randrepeat=0', ...args], { maxBuffer: 2 ** 26 });
  const spent = cpuSeconds(pid) - before;
  const said = text.toString();
  const { jobs } = JSON.parse(said.slice(said.indexOf('{'))) as {
    jobs: Record<'read' | 'write', { iops: number; total_ios: number }>[];
  };
  const { read, write } = jobs[0]!;
  const requests = read.total_ios + write.total_ios;
  return { perSecond: read.iops + write.iops, cpuUs: (spent * 1e6) / requests };
}

/** The sum over all threads of a process. */
function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
