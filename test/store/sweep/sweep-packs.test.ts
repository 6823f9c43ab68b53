import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { neededSource } from '../../../src/catalog/removal/needed.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import { writeMissingLists } from '../../../src/store/sweep/missing-lists.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import { missingPacks } from '../../../src/store/index/missing-packs.ts';
import { noise, seeded } from '../../support/random.ts';
import {
  HOME,
  simulatedWorld,
  simulatedWriter,
  storeDisk,
  storePoint,
} from '../../support/store.ts';
import { bytesOf, FIRST, PACK_LENGTH, points, SECOND, setUp, sweep, sweepStore } from './swept.ts';
import { crashAt } from './crashes.ts';

const opened = (place: Awaited<ReturnType<typeof setUp>>): Promise<Store> =>
  openStore(simulatedWorld(place.disk.files, 6), HOME);

test('a sweep removes what no point needs, and all that points need stays', async () => {
  for (const passphrase of [undefined, 'secret']) {
    const place = await setUp(passphrase);
    const { files } = place.disk;
    const used = place.disk.used();
    const planned = await sweep(files, { isDryRun: true });
    const done = await sweep(files);
    deepEqual(done, planned);
    deepEqual({ obstacles: done.obstacles, damage: done.damage }, { obstacles: [], damage: [] });
    ok(done.removedPacks > 0, `${done.removedPacks} packs removed`);
    ok(done.sweptPacks > 0, `${done.sweptPacks} packs swept`);
    const { deadBytes, freedBytes, leftBytes } = bytesOf(done);
    ok(deadBytes > 1_300_000, `${deadBytes} dead`);
    // Headers and footers of packs go with them; parts of pages stay.
    ok(Math.abs(freedBytes + leftBytes - deadBytes) < 10_000, `${freedBytes} + ${leftBytes}`);
    const reserve = (await files.stat(`${HOME}/sweep-reserve`))!.size;
    const freed = used - place.disk.used() + reserve;
    ok(Math.abs(freed - freedBytes) < 10_000, `${freed}`);
    equal(await points(files, place), 1);
    await using store = await opened(place);
    deepEqual(await missingPacks(store), []);
    const again = await sweep(files);
    deepEqual([again.sweptPacks, again.removedPacks, bytesOf(again).freedBytes], [0, 0, 0]);
  }
});

test('contents that were swept are stored again when they come again, in packs with new numbers', async () => {
  const place = await setUp();
  await using before = await opened(place);
  const numbers = await before.packs.list();
  await sweep(place.disk.files);
  await using store = await opened(place);
  const left = await store.packs.list();
  await storePoint(store, place.set, FIRST, { packLength: PACK_LENGTH });
  equal(await points(place.disk.files, place), 2);
  const made = (await store.packs.list()).filter((pack) => !left.includes(pack));
  ok(made.length > 0);
  deepEqual(
    made.filter((pack) => numbers.includes(pack)),
    [],
  );
});

test('the number of the last pack is not given again after a sweep has removed it', async () => {
  const place = await setUp();
  await using store = await opened(place);
  const third = await storePoint(store, place.set, noise(2 ** 20, 9), { packLength: PACK_LENGTH });
  const numbers = await store.packs.list();
  await forgetPoint(store, { set: 'set', id: third.id });
  const { removedPacks } = await sweep(place.disk.files);
  ok(removedPacks > 0);
  // The two records of it are lost as well.
  await place.disk.files.unlink(`${HOME}/last-pack.json`);
  const left = await store.packs.list();
  ok(left.at(-1)! < numbers.at(-1)!, 'the last pack is gone');
  await storePoint(store, place.set, noise(2 ** 20, 9), { packLength: PACK_LENGTH });
  ok((await store.packs.list()).filter((it) => !left.includes(it))[0]! > numbers.at(-1)!);
});

test('what is published between two slices of a sweep stays', async () => {
  const place = await setUp();
  const { files } = place.disk;
  let made = 0;
  await using store = await opened(place);
  const done = await sweep(files, {
    async onWait() {},
    // It is asked several times: first without the lock, then under it.
    needed() {
      const source = neededSource(store, new Map());
      return async () => {
        const needed = await source();
        if (made++ === 0) await storePoint(store, place.set, FIRST, { packLength: PACK_LENGTH });
        return needed;
      };
    },
  });
  ok(made > 1);
  equal(await points(files, place), 2);
  equal(bytesOf(done).freedBytes, 0);
});

test('a backup waits for a slice of a sweep, and a sweep for a backup', async () => {
  const place = await setUp();
  await using store = await opened(place);
  const order: string[] = [];
  const slice = await lockStore(store, 'store sweep');
  const backup = lockStore(store, 'backup').then((lock) => {
    order.push('backup');
    return lock;
  });
  await store.clock.sleep(50);
  order.push('slice ends');
  await slice[Symbol.asyncDispose]();
  const lock = await backup;
  await rejects(lockStore(store, 'other'), /is in use by backup/);
  const waits: string[] = [];
  const swept = sweepStore(store, {
    onWait(busy) {
      waits.push(busy);
      order.push('sweep waits');
      void lock[Symbol.asyncDispose]();
    },
  });
  ok((await swept).removedPacks > 0);
  deepEqual(order, ['slice ends', 'backup', 'sweep waits']);
  match(waits.join(), /is in use by backup/);
});

test('a sweep that is canceled ends after its slice, and the next one goes on', async () => {
  const place = await setUp();
  const abort = new AbortController();
  const all = await sweep(place.disk.files, { isDryRun: true });
  await rejects(
    sweep(place.disk.files, {
      signal: abort.signal,
      onProgress: (phase) => phase === 'sweep' && abort.abort(new Error('stop')),
    }),
    /stop/,
  );
  equal(await points(place.disk.files, place), 1);
  const rest = await sweep(place.disk.files);
  ok(rest.removedPacks + rest.sweptPacks < all.removedPacks + all.sweptPacks);
  ok(rest.removedPacks + rest.sweptPacks > 0);
});

test('what an interrupted backup has stored stays for some days, unless space is short', async () => {
  const place = await setUp();
  const { disk, set } = place;
  await sweep(disk.files);
  await using store = await opened(place);
  {
    await using writer = await simulatedWriter(store, set, PACK_LENGTH);
    await storeDisk(store, set, writer, noise(2 ** 21, 33));
  }
  const spared = await sweep(disk.files);
  deepEqual([spared.removedPacks, spared.sweptPacks], [0, 0]);
  ok(bytesOf(spared).sparedBytes > 2 ** 21, `${bytesOf(spared).sparedBytes}`);
  const full = { ...disk.files, space: async () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 29 }) };
  ok((await sweep(full)).removedPacks > 0);
  equal(await points(disk.files, place), 1);
});

test('packs of which all points were forgotten go at once', async () => {
  const place = await setUp();
  await using store = await opened(place);
  await forgetPoint(store, { set: 'set', id: place.second.id });
  const done = await sweep(place.disk.files);
  deepEqual(await store.packs.list(), []);
  equal(bytesOf(done).sparedBytes, 0);
});

test('a power cut at any call of a sweep loses nothing that a point needs (a part of the calls)', async () => {
  const place = await setUp();
  const whole = place.disk.copy(seeded(0));
  await sweep(whole.files);
  const calls = whole.calls();
  ok(calls > 100, `${calls} calls`);
  const random = seeded(Number(process.env['SEED'] ?? 1));
  for (let cutAt = 1; cutAt <= calls; cutAt += 20 + Math.floor(random() * 40)) {
    await crashAt(place, { cutAt, seed: 1 });
  }
});

test('on a disk without a free byte a sweep uses its reserve, and gives back as much as otherwise', async () => {
  const place = await setUp();
  const { disk } = place;
  await using store = await opened(place);
  const expected = bytesOf(await sweep(disk.files, { isDryRun: true })).freedBytes;
  await rejects(
    (async () => {
      const full = disk.copy(seeded(4));
      full.limit(full.used());
      await sweep(full.files);
    })(),
    /the disk of the store is full/,
  );
  const reserve = await disk.files.create(`${store.directory}/sweep-reserve`);
  await reserve.allocate(0, 100_000);
  disk.limit(disk.used());
  equal(bytesOf(await sweep(disk.files)).freedBytes, expected);
  equal(await points(disk.files, place), 1);
});

test('where the file system keeps holes and has no space for copies, only whole packs are removed', async () => {
  const place = await setUp();
  const { files } = place.disk;
  const keeping = {
    ...files,
    space: async () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 27, keepsHoles: true }),
  };
  const done = await sweep(keeping);
  equal(done.freesHoles, false);
  deepEqual([done.sweptPacks, done.copiedPacks], [0, 0]);
  ok(done.removedPacks > 0);
  ok(bytesOf(done).leftBytes > 200_000);
  equal(await points(files, place), 1);
  ok((await sweep(files)).sweptPacks > 0);
});

test('a store of the previous release is not swept', async () => {
  const place = await setUp();
  await using store = await opened(place);
  equal(store.has('swept'), false);
  await sweep(place.disk.files);
  await using again = await opened(place);
  equal(again.has('swept'), true);
  deepEqual(again.record.needs.write.includes('swept'), true);
  deepEqual(again.record.needs.read.includes('swept'), false);
  ok(SECOND.length > 0);
});

test('packs without lists count as needed until the key makes their lists', async () => {
  const place = await setUp('secret');
  const { files } = place.disk;
  await using store = await opened(place);
  const lists = (await files.list(`${HOME}/packs/00000`)).filter((it) => it.endsWith('.refs'));
  ok(lists.length > 0);
  for (const name of lists) await files.unlink(`${HOME}/packs/00000/${name}`);
  const { removedPacks, sweptPacks, obstacles } = await sweep(files);
  deepEqual([removedPacks, sweptPacks], [0, 0]);
  ok(obstacles.length > 0);
  ok(obstacles.every(({ unlisted }) => unlisted !== undefined));
  const domain = Buffer.from(place.set.record.domain).toString('hex');
  equal(await writeMissingLists(store, { keys: new Map() }), 0);
  equal(
    await writeMissingLists(store, { keys: new Map([[domain, place.set.keys]]) }),
    lists.length,
  );
  ok((await sweep(files)).removedPacks > 0);
  equal(await points(files, place), 1);
});
