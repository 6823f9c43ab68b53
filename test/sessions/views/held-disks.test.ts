import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { storeListing } from '../../../src/sessions/views/store-listing.ts';
import { storeTree } from '../../../src/sessions/views/store-tree.ts';
import { heldRoots } from '../../../src/store/directory/reader-leases.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { until } from '../../support/until.ts';

const SIZE = 2 ** 20;
const IDLE_MS = 6 * 60_000;

/** A tree of one recovery point over a clock that the test sets; the tree is refreshed at once when it is woken. */
async function rig() {
  let wake = (): void => {};
  let nowMs = 0;
  let sleeps = 0;
  const world = simulatedWorld();
  const clock = {
    ...world.clock,
    monotonicMs: () => nowMs,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        wake = resolve;
        sleeps++;
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  };
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, noise(SIZE, 1));
  await using stack = new AsyncDisposableStack();
  const reader = stack.use(openBlockReader(store, {}));
  const places = { setsPath: '', sessionsPath: undefined, partsOf: undefined };
  const listing = storeListing({ ...store, clock }, { sets: [set], reader, ...places });
  const tree = stack.use(await storeTree({ ...world, clock }, store.directory, listing));
  const find = (...names: string[]): number | undefined =>
    names.reduce<number | undefined>((at, name) => tree.lookup(at!, name), tree.root);
  const machine = find('set', 'vm')!;
  const file = find('set', 'vm', point.id, 'vda.raw')!;
  const domain = Buffer.from(set.record.domain).toString('hex');
  const owned = stack.move();
  return {
    ...{ tree, file, point },
    held: async () => (await heldRoots(store, [domain])).roots.length,
    forget: () => forgetPoint(store, { set: 'set', id: point.id }),
    async vanishes() {
      await until('the name to vanish', () => {
        wake();
        return tree.node(machine) === undefined || tree.lookup(machine, point.id) === undefined;
      });
    },
    async refreshedLater(ms: number) {
      nowMs += ms;
      const before = sleeps;
      wake();
      await until('the refresh', () => sleeps > before);
    },
    async read(offset: number) {
      const into = new Uint8Array(1000);
      if (!tree.tryRead(file, into, offset, 'medium')) await tree.read(file, into, offset);
      deepEqual(into, noise(SIZE, 1).slice(offset, offset + 1000));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('a file that is open when its point is forgotten vanishes, and is readable until it is closed', async () => {
  await using it = await rig();
  equal(await it.held(), 0, 'a name takes no lease');
  await it.tree.open?.(it.file);
  await it.tree.open?.(it.file);
  equal(await it.held(), 1);
  await it.forget();
  await it.vanishes();
  await it.read(0);
  await it.refreshedLater(IDLE_MS);
  await it.read(500_000);
  it.tree.close?.(it.file);
  await it.refreshedLater(IDLE_MS);
  await it.read(700_000);
  equal(await it.held(), 1, 'it was opened twice');
  it.tree.close?.(it.file);
  await it.refreshedLater(IDLE_MS);
  await until('the end of the lease', async () => (await it.held()) === 0);
  await rejects(it.tree.read(it.file, new Uint8Array(10), 0), { code: 'STALE' });
});

test('what is only read, as over NFS, has a lease until it is not read for a while', async () => {
  await using it = await rig();
  await it.read(0);
  equal(await it.held(), 1, 'taken before the first block');
  await it.forget();
  await it.vanishes();
  await it.refreshedLater(IDLE_MS / 2);
  await it.read(500_000);
  await it.refreshedLater(IDLE_MS / 2);
  await it.read(700_000);
  await it.refreshedLater(IDLE_MS);
  await until('the end of the lease', async () => (await it.held()) === 0);
  await rejects(it.tree.read(it.file, new Uint8Array(10), 0), { code: 'STALE' });
});

test('a point that was forgotten before its file is opened or read is not read', async () => {
  await using it = await rig();
  await it.forget();
  await rejects(it.tree.open!(it.file)!, { code: 'STALE' });
  await rejects(it.tree.read(it.file, new Uint8Array(10), 0), { code: 'STALE' });
  equal(await it.held(), 0);
});

test('a tree that is closed leaves no lease', async () => {
  const it = await rig();
  await it.tree.open?.(it.file);
  await it.read(0);
  await it[Symbol.asyncDispose]();
  equal(await it.held(), 0);
});
