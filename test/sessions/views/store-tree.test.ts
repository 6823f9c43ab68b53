import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { storeListing } from '../../../src/sessions/views/store-listing.ts';
import { storeTree } from '../../../src/sessions/views/store-tree.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import type { FileTree } from '../../../src/vfs/file-tree.ts';
import { broken } from '../../support/faulty-fs.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { until } from '../../support/until.ts';

const SIZE = 2 ** 20;

/** A clock whose sleepers wake when the test says so. */
function handClock() {
  let wake = (): void => {};
  return {
    tick: (): void => wake(),
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        wake = resolve;
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  };
}

function pointsIn(tree: FileTree): string[] {
  let directory = tree.root;
  for (const name of ['set', 'vm']) directory = tree.lookup(directory, name)!;
  const names = [...tree.list(directory, 0)].map(({ name }) => name);
  return names.filter((name) => name !== 'latest');
}

test('what was made since is shown, also after a listing that failed', async () => {
  const { tick, sleep } = handClock();
  const simulated = simulatedWorld();
  let fails = 0;
  let lists = 0;
  const world = {
    ...simulated,
    clock: { ...simulated.clock, sleep },
    files: {
      ...simulated.files,
      async list(directory: string) {
        lists++;
        if (fails-- > 0) throw broken(directory);
        return simulated.files.list(directory);
      },
    },
  };
  const { store, set } = await newStore(simulated);
  const first = await storePoint(store, set, noise(SIZE, 1));
  await using reader = openBlockReader(store, {});
  const listing = storeListing(
    { ...store, ...world },
    {
      sets: [set],
      reader,
      setsPath: '',
      sessionsPath: undefined,
      partsOf: undefined,
    },
  );
  await using tree = await storeTree(world, store.directory, listing);
  deepEqual(pointsIn(tree), [first.id]);
  equal(await listing.list(), await listing.list(), 'built again only where something changed');
  const second = await storePoint(store, set, noise(SIZE, 2));
  lists = 0;
  fails = 1;
  tick();
  await until('a listing', () => lists === 1);
  deepEqual(pointsIn(tree), [first.id], 'as it was');
  await until('a listing that does not fail', () => {
    tick();
    return pointsIn(tree).length === 2;
  });
  deepEqual(new Set(pointsIn(tree)), new Set([first.id, second.id]));

  let directory = tree.root;
  for (const name of ['set', 'vm', second.id]) directory = tree.lookup(directory, name)!;
  const into = new Uint8Array(1000);
  await tree.read(tree.lookup(directory, 'vda.raw')!, into, 5000);
  deepEqual(into, noise(SIZE, 2).slice(5000, 6000));
});

test('"latest" is what was published last, whatever the clock said', async () => {
  const simulated = simulatedWorld();
  let nowMs = Date.UTC(2036, 0, 1);
  const world = { ...simulated, clock: { ...simulated.clock, now: () => new Date(nowMs) } };
  const { store, set } = await newStore(world);
  await storePoint(store, set, noise(SIZE, 1));
  nowMs = Date.UTC(2026, 0, 1);
  const second = await storePoint(store, set, noise(SIZE, 2));
  await using reader = openBlockReader(store, {});
  const listing = storeListing(
    { ...store, ...world },
    {
      sets: [set],
      reader,
      setsPath: '',
      sessionsPath: undefined,
      partsOf: undefined,
    },
  );
  await using tree = await storeTree(world, store.directory, listing);
  let directory = tree.root;
  for (const name of ['set', 'vm']) directory = tree.lookup(directory, name)!;
  equal(tree.readLink(tree.lookup(directory, 'latest')!), second.id);
});
