import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { listPoints } from '../../src/catalog/points.ts';
import { type OpenSet, readSet, unlockSet } from '../../src/catalog/sets.ts';
import type { PointRecord } from '../../src/formats/store/catalog/point.ts';
import { openBlockReader } from '../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../src/store/read/manifest-disk.ts';
import { openStore, type Store } from '../../src/store/directory/store.ts';
import { realWorld } from '../../src/sys/world.ts';
import { expectDone, holdfastIn, type Running } from '../support/cli.ts';
import { below, noise, seeded } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { writeHistory } from '../support/write-history.ts';

/*
 * Commands that change a store are killed at random moments, again and again, while a guest writes to a session
 * beside them. Every recovery point that was there before is there afterwards, byte for byte; what was begun can be
 * done again; and what the guest was answered is there.
 */
const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const SIZE = 2 * 2 ** 20;
const WRITE_MAX = 64 * 1024;
const OPERATIONS = ['backup', 'keep', 'forget', 'rebuild', 'recover'] as const;
type Operation = (typeof OPERATIONS)[number];

export async function killCommands(kills: number, seed: number): Promise<void> {
  const random = seeded(seed);
  const it = await place(random);
  await using stack = new AsyncDisposableStack();
  const guest = stack.use(await liveGuest(it, random));
  await it.check('at first');
  for (const operation of OPERATIONS) {
    await it.run(operation, undefined);
    await it.check(`${operation}, which was not killed`);
  }
  for (let n = 0; n < kills; n++) {
    const operation = OPERATIONS[n % OPERATIONS.length]!;
    const part = 1.1 * random();
    await it.run(operation, part);
    await it.check(`kill ${n} of seed ${seed}: ${operation} after ${part.toFixed(2)} of its time`);
  }
  await guest.check();
  const { result } = await expectDone(it.holdfast('store', 'check', '--read-data'));
  deepEqual(result['problems'], []);
  deepEqual(result['locked'], []);
}

type Place = Awaited<ReturnType<typeof place>>;

async function place(random: () => number) {
  const root = temporaryDirectory();
  const home = await holdfastIn(root);
  const { holdfast, store: directory, passphrase } = home;
  const image = join(root, 'disk.raw');
  const contents = noise(SIZE, 1);
  writeFileSync(image, contents);
  await expectDone(home.backUp('vm', [`vda=${image}`]));
  const world = realWorld();
  const store = await openStore(world, directory);
  const secret = readFileSync(passphrase).subarray(0, -1);
  const set = await unlockSet(await readSet(store, 'nightly'), {
    kind: 'passphrase',
    passphrase: secret,
  });
  /** What each recovery point holds. */
  const points = new Map<string, string>();
  /** What one that was never reported as done may hold. */
  let begun: string | undefined;
  /** May be there or not. */
  let leaving: string | undefined;

  /** How long each takes. */
  const usualMs = new Map<string, number>();

  /** Killed after `part` of the time that it takes; answers whether it was not. */
  async function command(args: readonly string[], part: number | undefined): Promise<boolean> {
    const what = args.slice(0, 2).join(' ');
    const start = performance.now();
    const common = ['--store', directory, '--passphrase-file', passphrase, '--json'];
    const child = spawn(process.execPath, [MAIN, ...args, ...common], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
    const timer =
      part === undefined
        ? undefined
        : setTimeout(() => child.kill('SIGKILL'), part * usualMs.get(what)!);
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    clearTimeout(timer);
    if (signal !== null) return false;
    if (!usualMs.has(what)) usualMs.set(what, performance.now() - start);
    equal(code, 0, `${args.join(' ')}: ${errors}`);
    return true;
  }
  function change(): void {
    contents.set(noise(WRITE_MAX, below(random, 2 ** 30)), below(random, SIZE - WRITE_MAX));
    writeFileSync(image, contents);
  }
  const operations: Record<Operation, (part: number | undefined) => Promise<void>> = {
    async backup(part) {
      change();
      begun = hashOf(contents);
      const args = ['backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`];
      await command([...args, '--format', 'raw'], part);
    },
    async keep(part) {
      const { session, written } = await writtenSession(home, random);
      begun = hashOf(written);
      const isDone = await command(['session', 'keep', session], part);
      if (isDone) return;
      const { result } = await expectDone(holdfast('session', 'list'));
      const left = (result['sessions'] as { session: string }[]).some(
        (it) => it.session === session,
      );
      if (left) ok(await command(['session', 'keep', session], undefined), 'it is kept again');
    },
    async forget(part) {
      // The oldest is in use by the guest.
      const [, second] = await listed();
      leaving = second!.id;
      if (await command(['backup', 'forget', leaving], part)) return;
      if ((await listed()).some(({ id }) => id === leaving)) {
        ok(await command(['backup', 'forget', leaving], undefined), 'it is forgotten again');
      }
    },
    rebuild: async (part) => void (await command(['store', 'rebuild-index'], part)),
    async recover(part) {
      const running = await home.start('recover', 'vm@latest');
      await using disk = await openNbdDisk(running.uri);
      const before = new Uint8Array(SIZE);
      await disk.read(before, 0);
      const history = writeHistory(before);
      const killed = setTimeout(() => running.child.kill('SIGKILL'), 500 * (part ?? 0.5));
      await writeUntilItDies(disk, history, random);
      clearTimeout(killed);
      const { session } = running.ready;
      await using again = await home.start('recover', '--resume', session);
      history.check(await bytesOf(again.uri), 'nothing answered', `session ${session}`);
      await again.stop('SIGINT');
      await expectDone(holdfast('session', 'discard', session));
    },
  };
  const listed = async () => pointsOf(store, set);
  return {
    ...home,
    run: (operation: Operation, part: number | undefined) => operations[operation](part),
    /** Each recovery point is as it was; one more holds what was being stored. */
    async check(where: string): Promise<void> {
      const found = await listed();
      const ids = new Set(found.map(({ id }) => id));
      for (const id of points.keys()) {
        if (id === leaving && !ids.has(id)) points.delete(id);
        else ok(ids.has(id), `${where}: ${id} is lost`);
      }
      for (const point of found) {
        const hash = hashOf(await contentsOf(store, set, point));
        const before = points.get(point.id);
        if (before === undefined && points.size > 0)
          equal(hash, begun ?? hash, `${where}: ${point.id}`);
        if (before !== undefined) equal(hash, before, `${where}: ${point.id} has changed`);
        points.set(point.id, hash);
      }
      leaving = undefined;
    },
  };
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function pointsOf(store: Store, set: OpenSet): Promise<readonly PointRecord[]> {
  const { points, damaged } = await listPoints(store, 'nightly', set.keys);
  deepEqual(damaged, []);
  return points;
}

async function contentsOf(store: Store, set: OpenSet, point: PointRecord): Promise<Uint8Array> {
  const [root] = point.disks;
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22 });
  await using disk = manifestDisk(reader, { name: 'vda', root: root!, keys: set.keys });
  const bytes = new Uint8Array(root!.size);
  await disk.read(bytes, 0);
  return bytes;
}

async function bytesOf(uri: string): Promise<Uint8Array> {
  await using disk = await openNbdDisk(uri);
  const bytes = new Uint8Array(SIZE);
  await disk.read(bytes, 0);
  return bytes;
}

type Disk = Awaited<ReturnType<typeof openNbdDisk>>;
type History = ReturnType<typeof writeHistory>;

async function writeOne(disk: Disk, history: History, random: () => number): Promise<void> {
  const length = 512 * (1 + below(random, WRITE_MAX / 512));
  const offset = 512 * below(random, (SIZE - length) / 512);
  const value = below(random, 256);
  const durable = below(random, 4) === 0;
  const answered = history.write({ offset, length, value, durable });
  await disk.write(new Uint8Array(length).fill(value), offset, durable ? 'durable' : 'cached');
  answered();
}

async function writeUntilItDies(disk: Disk, history: History, random: () => number): Promise<void> {
  try {
    for (;;) await writeOne(disk, history, random);
  } catch {
    // It was killed.
  }
}

/** A session that was written to and stopped, and what its disk holds. */
async function writtenSession(home: Pick<Place, 'start'>, random: () => number) {
  const running = await home.start('recover', 'vm@latest');
  let written: Uint8Array;
  {
    await using disk = await openNbdDisk(running.uri);
    const history = writeHistory(new Uint8Array(SIZE));
    for (let n = 0; n < 5; n++) await writeOne(disk, history, random);
    await disk.flush();
    written = await bytesOf(running.uri);
  }
  await running.stop('SIGINT');
  return { session: running.ready.session, written };
}

/** A guest that writes all the time, in a process that is never killed. */
async function liveGuest({ start }: Pick<Place, 'start'>, random: () => number) {
  const running: Running = await start('recover', 'vm@latest');
  const disk = await openNbdDisk(running.uri);
  const before = new Uint8Array(SIZE);
  await disk.read(before, 0);
  const history = writeHistory(before);
  const over = new AbortController();
  const own = seeded(below(random, 2 ** 30));
  const writing = (async () => {
    while (!over.signal.aborted) {
      await writeOne(disk, history, own);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    async check(): Promise<void> {
      over.abort();
      await writing;
      history.check(await bytesOf(running.uri), 'nothing answered', 'the guest beside all');
    },
    async [Symbol.asyncDispose]() {
      over.abort();
      await writing.catch(() => {});
      await disk[Symbol.asyncDispose]();
      await running.stop('SIGINT');
    },
  };
}
