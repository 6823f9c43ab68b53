import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset } from './dataset.ts';
import { figure, seconds, section, skipped } from './figures.ts';
import { type Holdfast, holdfastIn } from './holdfast.ts';
import { isInstalled, median, type Run, timed } from './measure.ts';

/** Other programs' ways to keep the same two days. */
interface Peer {
  readonly name: string;
  readonly program: string;
  prepare(home: string): Promise<void>;
  store(home: string, image: string, day: number): Promise<Run>;
  kept(home: string): string;
}

const ENV = {
  RESTIC_PASSWORD: 'bench',
  BORG_PASSPHRASE: 'bench',
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
};

const PEERS: readonly Peer[] = [
  {
    name: 'restic',
    program: 'restic',
    prepare: async (home) => void (await timed(['restic', 'init', '-r', home], { env: ENV })),
    store: (home, image) =>
      timed(['restic', '-r', home, 'backup', '--no-cache', image], { env: ENV }),
    kept: (home) => home,
  },
  {
    name: 'borg',
    program: 'borg',
    prepare: async (home) =>
      void (await timed(['borg', 'init', '--encryption=repokey-blake2', home], {
        env: { ...ENV, BORG_BASE_DIR: `${home}.base` },
      })),
    store: (home, image, day) =>
      timed(['borg', 'create', '--sparse', '--compression', 'zstd,1', `${home}::${day}`, image], {
        env: { ...ENV, BORG_BASE_DIR: `${home}.base` },
      }),
    kept: (home) => home,
  },
  {
    name: 'qemu-img zstd',
    program: 'qemu-img',
    async prepare(home) {
      mkdirSync(home);
    },
    store: (home, image, day) =>
      timed([
        'qemu-img',
        'convert',
        '-c',
        '-O',
        'qcow2',
        '-o',
        'compression_type=zstd',
        image,
        join(home, `${day}.qcow2`),
      ]),
    kept: (home) => home,
  },
];

const ROUNDS = 3;

/** First backup, increment and what is kept, each in turn with the peers. Answers a store to read from. */
export async function benchIngest(work: string, data: Dataset): Promise<Holdfast> {
  section('Backup (each in turn, median of rounds)');
  const peers = PEERS.filter(({ name, program }) => {
    if (isInstalled(program)) return true;
    skipped(`against ${name}`, `${program} is not installed`);
    return false;
  });
  const ours = { first: [] as number[], next: [] as number[], peak: 0 };
  const theirs = new Map(
    peers.map((peer) => [peer, { first: [] as number[], next: [] as number[] }]),
  );
  let holdfast: Holdfast | undefined;
  let kept = 0;
  const keptBy = new Map<Peer, number>();
  // Read once, so that all find it in memory.
  for (const image of [data.first, data.second])
    execFileSync('cat', [image], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (let round = 0; round < ROUNDS; round++) {
    const home = join(work, `ingest${round}`);
    holdfast = await holdfastIn(join(home, 'holdfast'));
    const create = ['backup', 'create', 'bench', '--machine', 'vm', '--disk'];
    const first = await holdfast.run(...create, `vda=${data.first}`);
    const next = await holdfast.run(...create, `vda=${data.second}`, '--changed', data.changed);
    ours.first.push(first.seconds);
    ours.next.push(next.seconds);
    ours.peak = Math.max(ours.peak, first.peakBytes, next.peakBytes);
    kept = diskUsage(join(holdfast.store, 'packs'));
    for (const peer of peers) {
      const place = join(home, peer.program);
      await peer.prepare(place);
      const times = theirs.get(peer)!;
      times.first.push((await peer.store(place, data.first, 1)).seconds);
      times.next.push((await peer.store(place, data.second, 2)).seconds);
      keptBy.set(peer, diskUsage(peer.kept(place)));
    }
    if (round < ROUNDS - 1) rmSync(home, { recursive: true });
  }
  report(
    'first backup',
    median(ours.first),
    [...theirs].map(([peer, { first }]) => [peer, median(first)]),
    '2x of restic and borg',
  );
  report(
    'next day, from a changed-block list',
    median(ours.next),
    [...theirs].map(([peer, { next }]) => [peer, median(next)]),
    '5x of restic and borg',
  );
  for (const [peer, size] of keptBy) {
    figure('kept, MiB', kept.toFixed(0), `${peer.name} ${size.toFixed(0)}`, {
      ratio: size / kept,
      aim: '1.25x of restic',
    });
  }
  figure('resident memory during backup, MiB', (ours.peak / 2 ** 20).toFixed(0), 'limit 400', {
    ratio: 400 / (ours.peak / 2 ** 20),
    aim: '1x',
  });
  return holdfast!;
}

function report(
  name: string,
  ours: number,
  peers: readonly (readonly [Peer, number])[],
  aim: string,
): void {
  for (const [peer, theirs] of peers) {
    figure(name, seconds(ours), `${peer.name} ${seconds(theirs)}`, { ratio: theirs / ours, aim });
  }
}

/** MiB that a directory takes. */
function diskUsage(path: string): number {
  return Number(execFileSync('du', ['-s', '-k', path]).toString().split('\t')[0]) / 1024;
}
