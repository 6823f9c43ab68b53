import { equal, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { pacedReads } from '../../../src/store/packs/blocking-reads.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { StoreError } from '../../../src/store/packs/store-error.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { noise } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, simulatedWriter, storeDisk } from '../../support/store.ts';

test('a medium that fails is no answer; a fault of ours is one', async () => {
  const world = simulatedWorld();
  const { store } = await newStore(world);
  let failure: Error | undefined;
  let takesMs = 1;
  let tries = 0;
  const packs = {
    ...store.packs,
    tryRead() {
      tries++;
      now += takesMs;
      if (failure) throw failure;
      return true;
    },
  };
  let now = 0;
  const tryRead = pacedReads(packs, { ...world.clock, monotonicMs: () => now });
  const into = new Uint8Array(10);
  equal(tryRead(into, 1, 0), true);
  for (const worldly of [new StoreError('CORRUPT', 'too short'), broken('pack')]) {
    failure = worldly;
    equal(tryRead(into, 1, 0), false);
  }
  failure = new TypeError('a bug');
  throws(() => tryRead(into, 1, 0), TypeError);

  failure = broken('pack');
  takesMs = 1000;
  tries = 0;
  for (let n = 0; n < 3; n++) equal(tryRead(into, 1, 0), false);
  equal(tries, 1, 'one that takes long to fail is left alone for a while');
});

test('what fails at once is left to `read` to report, of nodes and of blocks', async () => {
  const world = simulatedWorld();
  const { store, set } = await newStore(world);
  const root = await (async () => {
    await using writer = await simulatedWriter(store, set);
    const stored = await storeDisk(store, set, writer, noise(2 ** 21, 4));
    await writer.commit();
    return stored;
  })();
  for (const pack of await store.packs.list()) {
    const broke = store.packs.path(pack);
    let isBroken = false;
    const files = faultyFs(world.files, (operation, path) =>
      isBroken && operation === 'read' && path === broke ? broken(path) : undefined,
    );
    await using failing = await openStore({ ...world, files }, HOME);
    const open = () => openBlockReader(failing, { cacheLength: 2 ** 21, clock: world.clock });
    const page = new Uint8Array(4096);
    // Opens the packs, which takes a moment.
    await using first = open();
    await using warm = manifestDisk(first, { name: 'vda', root, keys: set.keys });
    await warm.read(page, 0);
    isBroken = true;
    await using second = open();
    await using disk = manifestDisk(second, { name: 'vda', root, keys: set.keys });
    equal(disk.tryRead(page, 2 ** 20, 'medium'), false, broke);
    await rejects(disk.read(page, 2 ** 20), { name: 'BlockError', code: 'IO' }, broke);
  }
});
