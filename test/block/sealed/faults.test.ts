import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { SealedOverlay } from '../../../src/block/sealed/sealed-overlay.ts';
import { sharedSpace, spaceGuard } from '../../../src/block/space-guard.ts';
import { PLACE_LENGTH } from '../../../src/formats/store/sessions/overlay-log.ts';
import type { FileAccess, FileSystem, Space } from '../../../src/sys/files/file-system.ts';
import type { CrashingFs, SyncFault } from '../../support/crashing-fs.ts';
import { broken, faultyFs, full, type Operation } from '../../support/faulty-fs.ts';
import { seeded } from '../../support/random.ts';
import { give } from '../conformance.ts';
import { bytesOf } from './oracle.ts';
import { HOME, open, PAGE, PLACES, prepared, type Rig, rig } from './rig.ts';

// A disk that is full or fails below a sealed overlay.

async function turns(it: Rig, count = 200): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (turn % 20 === 19) it.clock.pass(500);
  }
}

/** Whether it is settled after all that takes some seconds at most. */
async function settles(it: Rig, work: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const end = () => (isSettled = true);
  work.then(end, end);
  await turns(it);
  return isSettled;
}

function write(overlay: SealedOverlay, page: number, stamp: number): Promise<void> {
  return give(overlay, bytesOf(stamp, page * PAGE, PAGE), page * PAGE);
}

async function stamps(overlay: SealedOverlay, ...pages: readonly number[]): Promise<number[]> {
  const found: number[] = [];
  for (const page of pages) {
    const into = new Uint8Array(PAGE);
    await overlay.read(into, page * PAGE);
    const word = new DataView(into.buffer).getUint32(0, true);
    const stamp = word === 0 ? 0 : word - 0x8000_0000;
    found.push(Buffer.from(into).equals(bytesOf(stamp, page * PAGE, PAGE)) ? stamp : Number.NaN);
  }
  return found;
}

/** Fails on demand. */
function failing(disk: CrashingFs, operation: Operation, fault: typeof full) {
  const state = { isOn: false, count: 0 };
  const files = faultyFs(disk.files, (it, path) => {
    if (!state.isOn || it !== operation || !path.endsWith('.seg')) return undefined;
    state.count++;
    return fault(path);
  });
  return { files, state };
}

for (const operation of ['create', 'allocate', 'write'] as const) {
  test(`a full disk that refuses to ${operation} holds writes up, and they go on`, async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const it = rig(seeded(seed), seed);
      const disk = await prepared(it);
      const { files, state } = failing(disk, operation, full);
      const overlay = await open(files, it);
      for (let n = 1; n <= 10; n++) await write(overlay, n % 5, n);
      state.isOn = true;
      const all = Array.from({ length: 60 }, (_, n) => write(overlay, n % 20, 100 + n));
      ok(!(await settles(it, Promise.all(all))), `${operation}: they wait`);
      ok(state.count > 0);
      state.isOn = false;
      ok(await settles(it, Promise.all(all)), `${operation}: they go on`);
      await Promise.all(all);
      const expected = Array.from({ length: 20 }, (_, page) => 140 + page);
      const pages = [...expected.keys()];
      deepEqual(await stamps(overlay, ...pages), expected);
      const flushed = overlay.flush();
      await turns(it, 60);
      await flushed;
      const next = await open(disk.reboot().files, it);
      deepEqual(await stamps(next, ...pages), expected);
      deepEqual(it.damage, []);
      deepEqual(it.nonces.twice, []);
    }
  });
}

test('where a full disk is to refuse, it refuses, and takes writes again when there is space', async () => {
  for (const operation of ['create', 'allocate', 'write'] as const) {
    const it = rig(seeded(1), 1);
    const disk = await prepared(it);
    const { files, state } = failing(disk, operation, full);
    const { clock } = it;
    const reserve = () => 0;
    const space = spaceGuard({
      space: sharedSpace({ files, directory: HOME }),
      clock,
      reserve,
      whenFull: 'refuse',
    });
    const overlay = await open(files, { ...it, options: { space } });
    await write(overlay, 1, 1);
    state.isOn = true;
    const all = await Promise.allSettled(Array.from({ length: 50 }, () => write(overlay, 2, 2)));
    const refused = all.filter((one) => one.status === 'rejected');
    ok(refused.length > 0 && refused.every(({ reason }) => reason.code === 'NO_SPACE'));
    state.isOn = false;
    await write(overlay, 3, 3);
    await overlay.flush();
    const next = await open(disk.reboot().files, it);
    deepEqual(await stamps(next, 1, 3), [1, 3]);
    deepEqual(it.damage, []);
  }
});

async function withSyncFault(seed: number, fault: SyncFault) {
  const it = rig(seeded(seed), seed);
  const disk = await prepared(it);
  const overlay = await open(disk.files, it);
  await write(overlay, 3, 1);
  await overlay.flush();
  await overlay.idle();
  await write(overlay, 4, 2);
  disk.failSyncs((path) => (path.endsWith('.seg') ? fault(path) : undefined));
  return { it, disk, overlay };
}

test('a sync that fails although all is on the medium is a flush: it is read from there', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    let count = 0;
    const { it, disk, overlay } = await withSyncFault(seed, () => (count++ ? undefined : 'all'));
    await overlay.flush();
    disk.failSyncs(() => undefined);
    await write(overlay, 5, 3);
    await overlay.flush();
    const next = await open(disk.reboot().files, it);
    deepEqual(await stamps(next, 3, 4, 5), [1, 2, 3], `seed ${seed}`);
    deepEqual(it.damage, []);
  }
});

test('a sync that fails and loses something fails the flush, for ever, and nothing older is lost', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    let count = 0;
    const { it, disk, overlay } = await withSyncFault(seed, () => (count++ ? undefined : 'none'));
    await rejects(overlay.flush(), { name: 'BlockError', code: 'IO' });
    disk.failSyncs(() => undefined);
    await rejects(overlay.flush(), { code: 'IO' });
    await rejects(write(overlay, 6, 4), { code: 'IO' });
    deepEqual(await stamps(overlay, 3), [1]);
    await rejects(stamps(overlay, 4), { code: 'CORRUPT', message: /page 4 of disk vda/ });
    it.damage.length = 0;
    const next = await open(disk.kill().files, it);
    deepEqual(await stamps(next, 3), [1], `seed ${seed}`);
    deepEqual(it.damage, []);
    equal(next.readOnly, undefined);
  }
});

test('after a failed sync the next process believes what the medium has, not what memory has', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    let count = 0;
    const { it, disk, overlay } = await withSyncFault(seed, () => (count++ ? undefined : 'none'));
    await rejects(overlay.flush(), { code: 'IO' });
    disk.failSyncs(() => undefined);
    const killed = disk.kill();
    const next = await open(killed.files, it);
    const [seen] = await stamps(next, 4);
    await write(next, 5, 3);
    await next.flush();
    const last = await open(killed.reboot().files, it);
    deepEqual(await stamps(last, 3, 4, 5), [1, seen, 3], `seed ${seed}`);
  }
});

test('what is written while a sync fails is believed no sooner than it was read back', async () => {
  let failures = 0;
  for (let seed = 1; seed <= 30; seed++) {
    let count = 0;
    const { it, disk, overlay } = await withSyncFault(seed, () => (count++ ? undefined : 'begun'));
    const flushed = overlay.flush();
    await Promise.resolve();
    await write(overlay, 5, 3);
    await flushed.then(
      async () => {
        disk.failSyncs(() => undefined);
        await overlay.flush();
        deepEqual(await stamps(await open(disk.reboot().files, it), 3, 4, 5), [1, 2, 3]);
      },
      () => failures++,
    );
  }
  ok(failures > 0, 'some of it was written while the sync ran');
});

test('a flush for which there is no space fails, and a later one succeeds', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const { it, disk, overlay } = await withSyncFault(seed, () => 'full');
    await rejects(overlay.flush(), { code: 'NO_SPACE' });
    await write(overlay, 5, 3);
    disk.failSyncs(() => undefined);
    await overlay.flush();
    const next = await open(disk.reboot().files, it);
    deepEqual(await stamps(next, 3, 4, 5), [1, 2, 3], `seed ${seed}`);
    deepEqual(it.damage, []);
  }
});

test('a write that fails reaches its writer alone, and the next process finds no damage', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const it = rig(seeded(seed), seed);
    const disk = await prepared(it);
    const { files, state } = failing(disk, 'write', broken);
    const overlay = await open(files, it);
    await write(overlay, 3, 1);
    state.isOn = true;
    await rejects(write(overlay, 4, 2), { name: 'BlockError', code: 'IO' });
    state.isOn = false;
    await write(overlay, 5, 3);
    await overlay.flush();
    await write(overlay, 6, 4);
    await overlay.flush();
    deepEqual(it.nonces.twice, []);
    const next = await open(seed % 2 ? disk.reboot().files : disk.kill().files, it);
    deepEqual(await stamps(next, 3, 5, 6), [1, 3, 4]);
    deepEqual(it.damage, []);
  }
});

test('a trim of all gives nine tenths of the space back after two flushes', async () => {
  const size = 1500 * PAGE;
  const it = rig(seeded(1), 1, { size });
  const disk = await prepared(it);
  const overlay = await open(disk.files, it);
  for (let page = 0; page < 1500; page += 50) {
    const offset = page * PAGE;
    await overlay.write(bytesOf(1 + page, offset, 50 * PAGE), offset, 'cached');
  }
  await overlay.flush();
  const before = disk.used();
  ok(before > size);
  await overlay.zero(0, size, 'cached');
  for (let n = 0; n < 2; n++) {
    await overlay.flush();
    await overlay.idle();
  }
  ok(disk.used() <= before / 10, `${disk.used()} of ${before} are left`);
  deepEqual(await stamps(overlay, 0, 700, 1499), [0, 0, 0]);
  const next = await open(disk.reboot().files, it);
  deepEqual(await stamps(next, 0, 700, 1499), [0, 0, 0]);
});

/** The next sync of a segment takes so long as `hold` says. */
function slowSyncs({ files }: CrashingFs) {
  let held = Promise.resolve();
  return {
    hold: (until: Promise<void>) => void (held = until),
    files: {
      ...files,
      async open(path: string, access: FileAccess) {
        const file = await files.open(path, access);
        if (!path.endsWith('.seg')) return file;
        return {
          ...file,
          async sync() {
            const until = held;
            held = Promise.resolve();
            await file.sync();
            await until;
          },
        };
      },
    },
  };
}

test('what a power cut leaves of a record that a segment is free costs nothing that was flushed', async () => {
  // Neither the cleaner nor a flush of its own comes in between.
  const limits = { deadMax: 2 ** 30, unprovenMax: 2 ** 30, waitAt: 2 ** 30 };
  for (let seed = 1; seed <= 40; seed++) {
    const it = rig(seeded(seed), seed, { limits });
    const disk = await prepared(it);
    const { files, hold } = slowSyncs(disk);
    const overlay = await open(files, it);
    for (let page = 0; page < 21; page++) await write(overlay, page, 1 + page);
    for (let page = 1; page < 21; page++) await write(overlay, page, 101 + page);
    await overlay.flush();
    await overlay.idle();
    await write(overlay, 5, 200);
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    const flushed = overlay.flush();
    await turns(it, 10);
    // Now the first segment has nothing more that counts, but the flush began before.
    await write(overlay, 0, 300);
    resolve();
    await flushed;
    await overlay.idle();
    const next = await open(disk.reboot().files, it);
    const [first, ...rest] = await stamps(next, 0, 1, 5, 20);
    ok(first === 1 || first === 300, `seed ${seed}: page 0 is ${first}`);
    deepEqual(rest, [102, 200, 121]);
    deepEqual(it.damage, []);
  }
});

test('a write that lands while a flush syncs is synced by the next one', async () => {
  for (let delay = 0; delay < 30; delay++) {
    const it = rig(seeded(delay), delay, { limits: { writeNowMax: 0 } });
    const disk = await prepared(it);
    const files: FileSystem = {
      ...disk.files,
      async open(path, access) {
        const file = await disk.files.open(path, access);
        return {
          ...file,
          async write(from, offset) {
            for (let n = 0; n < 8; n++) await new Promise((resolve) => setImmediate(resolve));
            await file.write(from, offset);
          },
        };
      },
    };
    const overlay = await open(files, it);
    await write(overlay, 3, 1);
    const flushed = overlay.flush();
    for (let n = 0; n < delay; n++) await Promise.resolve();
    await write(overlay, 4, 2);
    await flushed;
    await overlay.flush();
    const next = await open(disk.reboot().files, it);
    deepEqual(await stamps(next, 3, 4), [1, 2], `delay ${delay}`);
  }
});

test('where no space is left for guests, the cleaner makes some, and they go on', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const pages = 200;
    const it = rig(seeded(seed), seed, { size: pages * PAGE });
    const disk = await prepared(it);
    const segment = PLACES * PLACE_LENGTH;
    const reserve = 8 * segment;
    // There is room for half more than what counts; lists of segments take a part of it.
    disk.limit(reserve + (pages * PLACE_LENGTH * 3) / 2 + 4 * segment);
    const { clock } = it;
    const { files } = disk;
    let pauses = 0;
    let least = reserve;
    const options = {
      space: sharedSpace({ files, directory: HOME }),
      clock,
      reserve({ freeBytes }: Space) {
        least = Math.min(least, freeBytes);
        return reserve;
      },
    };
    const space = spaceGuard({ ...options, whenFull: 'pause', onPause: () => pauses++ });
    const overlay = await open(files, { ...it, options: { ...it.options, space } });
    const newest: number[] = [];
    for (let round = 1; round <= 60; round++) {
      const all = Array.from({ length: 20 }, async (_, n) => {
        const page = round <= 10 ? (round - 1) * 20 + n : Math.floor(it.random() * pages);
        const stamp = round * 100 + n;
        newest[page] = stamp;
        await write(overlay, page, stamp);
      });
      ok(await settles(it, Promise.all(all)), `seed ${seed}: round ${round} goes on`);
      await Promise.all(all);
    }
    ok(pauses > 0, 'they had to wait');
    ok(least > segment, `copies left ${least} bytes of the reserve`);
    ok(overlay.stats.copied > 0);
    deepEqual(await stamps(overlay, ...newest.keys()), newest);
    const flushed = overlay.flush();
    ok(await settles(it, flushed));
    const next = await open(disk.reboot().files, it);
    deepEqual(await stamps(next, ...newest.keys()), newest);
    deepEqual(it.damage, []);
  }
});

test('a full disk on which nothing can be gained is not cleaned for ever', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const it = rig(seeded(seed), seed);
    const disk = await prepared(it);
    const { files, state } = failing(disk, 'allocate', full);
    const overlay = await open(files, it);
    state.isOn = true;
    // In segments as small as these the records of what is freed are an eighth of what counts.
    const all = Array.from({ length: 60 }, (_, n) => write(overlay, n % 20, 100 + n));
    await turns(it, 40);
    state.isOn = false;
    ok(await settles(it, Promise.all(all)), `seed ${seed}`);
    await overlay.flush();
    ok(await settles(it, overlay.idle()), `seed ${seed}: what follows comes to an end`);
    deepEqual(await stamps(overlay, 0, 1, 19), [140, 141, 159]);
  }
});
