import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import type { Location } from '../../../src/formats/store/packs/node.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import { missingPacks } from '../../../src/store/index/missing-packs.ts';
import { movedFiles } from '../../../src/store/packs/moved-frames.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { noise, seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { crashAt } from './crashes.ts';
import {
  bytesOf,
  copyingSweep,
  FIRST,
  keepingHoles,
  PACK_LENGTH,
  points,
  SECOND,
  setUp,
} from './swept.ts';

/* What holes do not give back: what is needed of a pack is copied to another one, which readers find. */

const open = (files: FileSystem): Promise<Store> => openStore(simulatedWorld(files, 6), HOME);

test('where holes give nothing back, packs are copied: what is dead goes, and all that points need stays', async () => {
  for (const passphrase of [undefined, 'secret']) {
    const place = await setUp(passphrase);
    const files = keepingHoles(place.disk.files);
    const used = place.disk.used();
    await using before = await open(files);
    const numbers = await before.packs.list();
    const planned = await copyingSweep(files, { isDryRun: true });
    const done = await copyingSweep(files);
    deepEqual(done, planned);
    deepEqual({ obstacles: done.obstacles, damage: done.damage }, { obstacles: [], damage: [] });
    equal(done.freesHoles, false);
    equal(done.sweptPacks, 0);
    ok(done.copiedPacks > 0, `${done.copiedPacks} copied`);
    const { deadBytes, freedBytes, copyFreedBytes } = bytesOf(done);
    ok(copyFreedBytes > 200_000 && copyFreedBytes < freedBytes, `${copyFreedBytes}`);
    const reserve = (await files.stat(`${HOME}/sweep-reserve`))!.size;
    const freed = used - place.disk.used() + reserve;
    ok(freed >= 0.95 * deadBytes, `${freed} of ${deadBytes}`);
    equal(await points(files, place), 1);
    await using store = await open(files);
    deepEqual(await missingPacks(store), []);
    ok(store.has('copied-packs'));
    ok(store.record.needs.read.includes('copied-packs'));
    // Readers that were open before the sweep, and one that opens now.
    for (const it of [before, store]) equal((await it.packs.moved.list()).length, done.copiedPacks);
    const again = await copyingSweep(files);
    deepEqual([again.copiedPacks, again.removedPacks, bytesOf(again).freedBytes], [0, 0, 0]);
    await storePoint(store, place.set, FIRST, { packLength: PACK_LENGTH });
    equal(await points(files, place), 2);
    const made = (await store.packs.list()).filter((pack) => numbers.includes(pack));
    ok(made.length < numbers.length, 'packs were removed');
    equal((await copyingSweep(files)).obstacles.length, 0);
  }
});

test('packs of small dead frames are copied also where holes are given back', async () => {
  const disk = crashingFs(seeded(0));
  const { files } = disk;
  const { store, set } = await newStore(simulatedWorld(files), {});
  // Blocks of 64 KiB with 1,500 bytes in each.
  const contents = new Uint8Array(16 * 2 ** 20);
  for (let at = 0; at < contents.length; at += 65_536) contents.set(noise(1500, at + 1), at);
  const first = await storePoint(store, set, contents);
  for (let at = 0; at < contents.length; at += 2 * 65_536) contents.set(noise(1500, at + 3), at);
  await storePoint(store, set, contents);
  await forgetPoint(store, { set: 'set', id: first.id });
  const done = await copyingSweep(files);
  equal(done.freesHoles, true);
  const { deadBytes, freedBytes, leftBytes } = bytesOf(done);
  ok(deadBytes > 100_000, `${deadBytes}`);
  ok(done.copiedPacks > 0);
  ok(freedBytes >= 0.95 * deadBytes, `${freedBytes} of ${deadBytes}, ${leftBytes} left`);
  equal((await soundness(files, set, () => contents)).length, 1);
});

test('what is published after its pack was copied, and before the copy takes its place, stays', async () => {
  // The first draft is one of nodes, the second one of blocks.
  for (const which of [1, 2]) {
    const place = await setUp();
    const { files } = place.disk;
    await using store = await open(files);
    let drafts = 0;
    let isPublished = false;
    const publishing: FileSystem = {
      ...keepingHoles(files),
      async create(path, access) {
        const file = await files.create(path, access);
        if (!path.endsWith('sweep-copy.tmp') || ++drafts !== which) return file;
        return {
          ...file,
          async sync() {
            await file.sync();
            if (isPublished) return;
            isPublished = true;
            // It refers to what the forgotten point needed, as far as that is still there.
            await storePoint(store, place.set, FIRST, { packLength: PACK_LENGTH });
          },
        };
      },
    };
    await copyingSweep(publishing);
    ok(isPublished);
    equal(await points(files, place), 2);
  }
});

test('a copy takes its place only while no backup is running', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await using store = await open(files);
  let backup: AsyncDisposable | undefined;
  let isOver = false;
  const waits: string[] = [];
  const locking: FileSystem = {
    ...keepingHoles(files),
    async create(path, access) {
      if (path.endsWith('sweep-copy.tmp')) backup ??= await lockStore(store, 'backup');
      return files.create(path, access);
    },
    async rename(from, to) {
      if (from.endsWith('sweep-copy.tmp')) ok(isOver, 'the backup has ended');
      await files.rename(from, to);
    },
  };
  const { copiedPacks } = await copyingSweep(locking, {
    onWait(busy) {
      waits.push(busy);
      isOver = true;
      void backup?.[Symbol.asyncDispose]();
    },
  });
  ok(copiedPacks > 0);
  match(waits.join(), /is in use by backup/);
});

test('a frame of which the new pack is gone is needed in its old one', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await using store = await open(files);
  for (const pack of await store.packs.list()) {
    const { header, entries } = await store.packs.footer(pack);
    if (header.kind === 'node') continue;
    const lost = entries.map(({ offset }) => [offset, { pack: 99, offset, length: 100 }] as const);
    await store.packs.moved.add(pack, new Map(lost));
  }
  await copyingSweep(files);
  equal(await points(files, place), 1);
});

test('the number of a copy that was lost is not given again', async () => {
  const place = await setUp();
  const files = keepingHoles(place.disk.files);
  await using store = await open(files);
  const before = (await store.packs.list()).at(-1)!;
  ok((await copyingSweep(files)).copiedPacks > 0);
  const last = (await store.packs.list()).at(-1)!;
  ok(last > before);
  await files.unlink(store.packs.path(last));
  deepEqual(await missingPacks(store), [{ first: last, last }]);
});

test('a pack with a needed frame that is damaged, or marked so, is not copied', async () => {
  const whole = (await setUp()).disk.copy(seeded(3)).files;
  ok((await copyingSweep(keepingHoles(whole))).copiedPacks > 0);
  await using copied = await open(whole);
  const [pack] = await copied.packs.moved.list();
  const [offset] = [...(await copied.packs.moved.of(pack!)).keys()];
  for (const kind of ['damaged', 'marked'] as const) {
    const { disk } = await setUp();
    const files = keepingHoles(disk.files);
    await using store = await open(files);
    const { entries } = await store.packs.footer(pack!);
    const { digest } = entries.find((it) => it.offset === offset)!;
    if (kind === 'marked') await store.packs.want({ pack: pack!, offset: offset!, digest });
    else {
      disk.damage(store.packs.path(pack!), (bytes) => {
        bytes[offset! + 200]! ^= 1;
        return bytes;
      });
    }
    const { damage } = await copyingSweep(files);
    ok((await store.packs.list()).includes(pack!), kind);
    deepEqual([...(await store.packs.moved.of(pack!))], [], kind);
    equal(damage.length, kind === 'damaged' ? 1 : 0);
    for (const { where } of damage) equal(where, store.packs.path(pack!));
  }
});

/** Puts the paths of open packs into `opened`. */
function countingOpen(files: FileSystem, opened: Set<string>): FileSystem {
  return {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      if (!path.endsWith('.pack')) return file;
      opened.add(path);
      return {
        ...file,
        async [Symbol.asyncDispose]() {
          opened.delete(path);
          await file[Symbol.asyncDispose]();
        },
      };
    },
  };
}

test('a disk that is open reads on while its packs are copied and removed', async () => {
  for (const hasRead of [true, false]) {
    const { disk, set, second } = await setUp('secret');
    const files = keepingHoles(disk.files);
    const opened = new Set<string>();
    const world = simulatedWorld(countingOpen(files, opened), 6);
    let laterMs = 0;
    const clock = { ...world.clock, monotonicMs: () => laterMs + world.clock.monotonicMs() };
    await using store = await openStore({ ...world, clock }, HOME);
    await using reader = openBlockReader(store, { cacheLength: 2 ** 20, clock });
    const [root] = second.disks;
    await using device = manifestDisk(reader, { name: 'vda', root: root!, keys: set.keys });
    const got = new Uint8Array(SECOND.length);
    if (hasRead) await device.read(got, 0);
    ok((await copyingSweep(files)).copiedPacks > 0);
    // Packs that are open are looked for once a second: after that they can only be read at their new places.
    laterMs = 2000;
    for (let round = 0; round < 2; round++) {
      await device.read(got.fill(0), 0);
      equal(Buffer.compare(got, SECOND), 0);
    }
    deepEqual(await store.packs.wanted.list(), []);
    const there = new Set((await store.packs.list()).map((pack) => store.packs.path(pack)));
    ok(opened.size > 0);
    for (const path of opened) ok(there.has(path), `${path} is open`);
  }
});

test('a frame that moved several times is found in one step, and moves that nothing needs go', async () => {
  const disk = crashingFs(seeded(0));
  const files = keepingHoles(disk.files);
  const { store, set } = await newStore(simulatedWorld(files), {});
  const whole = noise(70 * 65_536, 5);
  const ids: string[] = [];
  const contents = new Map<string, Uint8Array>();
  const add = async (bytes: Uint8Array): Promise<void> => {
    const { id } = await storePoint(store, set, bytes);
    ids.push(id);
    contents.set(id, bytes);
  };
  // Points that share less and less with the first pack, which the last one goes on to name.
  for (let blocks = 70; blocks > 3; blocks = Math.floor(0.75 * blocks)) {
    await add(Buffer.concat([whole.subarray(0, blocks * 65_536), Buffer.alloc(65_536)]));
  }
  let copied = 0;
  while (ids.length > 1) {
    await forgetPoint(store, { set: 'set', id: ids.shift()! });
    copied += (await copyingSweep(files)).copiedPacks;
    equal((await soundness(files, set, ({ id }) => contents.get(id)!)).length, ids.length);
  }
  ok(copied > 8, `${copied} copied`);
  const moved = movedFiles(files, `${HOME}/packs`);
  const there = new Set(await store.packs.list());
  for (const pack of await moved.list()) {
    const targets: Location[] = [...(await moved.of(pack)).values()];
    // One of each record is needed; others may lead nowhere.
    ok(
      targets.some((to) => there.has(to.pack)),
      `pack ${pack}`,
    );
  }
  await forgetPoint(store, { set: 'set', id: ids[0]! });
  await copyingSweep(files);
  await copyingSweep(files);
  deepEqual(await moved.list(), []);
  deepEqual(await missingPacks(store), []);
  await add(whole);
  equal((await soundness(files, set, () => whole)).length, 1);
});

test('the second copy of a pack of nodes goes with it', async () => {
  const place = await setUp();
  const { files } = place.disk;
  const copies = async (): Promise<string[]> =>
    (await files.list(`${HOME}/copies/packs/00000`)).filter((it) => it.endsWith('.pack'));
  const before = await copies();
  await using store = await open(files);
  await forgetPoint(store, { set: 'set', id: place.second.id });
  ok((await copyingSweep(files)).removedPacks > 0);
  ok(before.length > 0);
  deepEqual(await copies(), []);
});

test('a power cut at any call of a sweep that copies loses nothing (a part of the calls)', async () => {
  const place = await setUp();
  const whole = place.disk.copy(seeded(0));
  ok((await copyingSweep(keepingHoles(whole.files))).copiedPacks > 0);
  const calls = whole.calls();
  const random = seeded(Number(process.env['SEED'] ?? 1));
  for (let cutAt = 1; cutAt <= calls; cutAt += 80 + Math.floor(random() * 150)) {
    await crashAt(place, { cutAt, seed: 1, on: keepingHoles });
  }
});
