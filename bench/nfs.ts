import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { type Dataset, densestWindow } from './dataset.ts';
import { figure, section, skipped } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { ending, isInstalled, median } from './measure.ts';

const KiB = 1024;
const MiB = 2 ** 20;
/** Fits our cache of decoded blocks, as a running guest's working set would. */
const HOT_LENGTH = 96 * MiB;
const ROUNDS = 3;

interface Pattern {
  readonly name: string;
  readonly size: number;
  readonly depth: number;
  /** From one request to the next; more than its size: not one after the other. */
  readonly step: number;
  readonly count: number;
  readonly write?: boolean;
  readonly aim: string;
}

const PATTERNS: readonly Pattern[] = [
  { name: '1 MiB sequential, depth 4', size: MiB, depth: 4, step: MiB, count: 3000, aim: '1.3x' },
  {
    ...{ name: '64 KiB scattered, depth 8', size: 64 * KiB, depth: 8 },
    ...{ step: 5 * MiB + 64 * KiB, count: 40_000, aim: '1.5x' },
  },
  {
    ...{ name: '4 KiB scattered, depth 32', size: 4 * KiB, depth: 32 },
    ...{ step: 3 * MiB + 4 * KiB, count: 60_000, aim: '3x' },
  },
  {
    ...{ name: '4 KiB scattered, depth 1', size: 4 * KiB, depth: 1 },
    ...{ step: 3 * MiB + 4 * KiB, count: 15_000, aim: '1x' },
  },
  {
    ...{ name: '64 KiB writes, unstable, depth 8', size: 64 * KiB, depth: 8 },
    ...{ step: 5 * MiB + 64 * KiB, count: 10_000, write: true, aim: '1x' },
  },
];

/** NFS of our encrypted recovery point against nfs-ganesha on the raw file. QEMU's client knows standard ports only. */
export async function benchNfs(work: string, data: Dataset, holdfast: Holdfast): Promise<void> {
  section('NFS, hot, against nfs-ganesha (FSAL_VFS) on the raw file (page cache)');
  for (const program of ['ganesha.nfsd', 'rpcbind', 'qemu-img']) {
    if (!isInstalled(program)) return skipped('NFS', `${program} is not installed`);
  }
  if (process.getuid?.() !== 0) return skipped('NFS', 'only root may listen on port 2049');
  if (await listens(111)) return skipped('NFS', 'something else listens on port 111');
  // Writes must not change the disk that others are measured with.
  const copy = join(work, 'nfs.raw');
  execFileSync('cp', ['--sparse=always', data.second, copy]);
  const offset = densestWindow(data.second, HOT_LENGTH);
  const figures = new Map<Pattern, { readonly ours: number[]; readonly theirs: number[] }>(
    PATTERNS.map((pattern) => [pattern, { ours: [], theirs: [] }]),
  );
  for (let round = 0; round < ROUNDS; round++) {
    {
      await using serving = await holdfast.recover('vm@latest', '--nfs');
      const path = `/holdfast/${serving.session}/vda.raw`;
      for (const [pattern, { ours }] of figures) ours.push(perSecond(path, offset, pattern));
    }
    await using _peer = await ganesha(work, dirname(resolve(copy)));
    const theirs = `${dirname(resolve(copy))}/${basename(copy)}`;
    for (const [pattern, of] of figures) of.theirs.push(perSecond(theirs, offset, pattern));
  }
  for (const [{ name, aim }, { ours, theirs }] of figures) {
    const [a, b] = [median(ours), median(theirs)];
    figure(name, `${a.toFixed(0)}/s`, `ganesha ${b.toFixed(0)}/s`, { ratio: a / b, aim });
  }
}

/** Requests a second, after a first run as long that fills caches and lets both servers settle. */
function perSecond(path: string, offset: number, pattern: Pattern): number {
  const { size, depth, step, count, write } = pattern;
  const run = (requests: number): number => {
    const args = [
      '-d',
      String(depth),
      '-s',
      String(size),
      '-S',
      String(step),
      '-c',
      String(requests),
    ];
    const server = 'file.driver=nfs,file.server.type=inet,file.server.host=127.0.0.1';
    const image = `driver=raw,offset=${offset},size=${HOT_LENGTH},${server},file.path=${path}`;
    const words = ['bench', ...args, ...(write ? ['-w'] : []), '--image-opts', image];
    const text = execFileSync('qemu-img', words);
    return requests / Number(/in ([\d.]+) seconds/.exec(text.toString())![1]);
  };
  run(count);
  return run(count);
}

async function ganesha(work: string, directory: string): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  stack.use(ending(spawn('rpcbind', ['-f', '-w'], { stdio: 'ignore' }), 'SIGKILL'));
  await until(() => listens(111));
  const configuration = join(work, 'ganesha.conf');
  writeFileSync(
    configuration,
    `NFS_CORE_PARAM { Protocols = 3; Enable_NLM = false; Enable_RQUOTA = false; }
     NFSv4 { Graceless = true; }
     EXPORT { Export_Id = 1; Path = ${directory}; Pseudo = /peer; Tag = peer; Access_Type = RW;
              Squash = No_Root_Squash; SecType = sys; Protocols = 3; FSAL { Name = VFS; } }
     EXPORT_DEFAULTS { Access_Type = RW; }
     LOG { Default_Log_Level = FATAL; }\n`,
  );
  const files = ['-L', join(work, 'ganesha.log'), '-p', join(work, 'ganesha.pid')];
  const server = spawn('ganesha.nfsd', ['-F', '-f', configuration, ...files], { stdio: 'ignore' });
  stack.use(ending(server, 'SIGKILL'));
  await until(() => listens(2049));
  await new Promise((done) => setTimeout(done, 1000));
  return stack.move();
}

function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < 200; n++) {
    if (await holds()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error('a server did not start within 10 s');
}
