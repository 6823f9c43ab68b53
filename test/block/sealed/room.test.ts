import { deepEqual, equal, ok } from 'node:assert/strict';
import { basename } from 'node:path/posix';
import { test } from 'tap';
import type { SealedOverlay } from '../../../src/block/sealed/sealed-overlay.ts';
import { type SpaceGuard, sharedSpace, spaceGuard } from '../../../src/block/space-guard.ts';
import { PLACE_LENGTH } from '../../../src/formats/store/sessions/overlay-log.ts';
import { MiB } from '../../../src/lib/sizes.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { seeded } from '../../support/random.ts';
import { ROOMY } from '../../support/space.ts';
import { heldSyncs } from './held-syncs.ts';
import { bytesOf } from './oracle.ts';
import { HOME, open, PAGE, PLACES, prepared, rig, writesSeen } from './rig.ts';

// How much of a log may be unproven, and what it takes from the disk's space.

async function turns(count = 60): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function write(overlay: SealedOverlay, page: number, stamp: number): Promise<void> {
  return overlay.write(bytesOf(stamp, page * PAGE, PAGE), page * PAGE, 'cached');
}

test('a flush begins by itself once too much of the log is not proven', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const limits = { unprovenMax: 9 * PLACE_LENGTH, waitAt: 1e9, deadMax: 1e9 };
    const it = rig(seeded(seed), seed, { limits });
    const disk = await prepared(it);
    const { files, state } = heldSyncs(disk.files);
    const overlay = await open(files, it);
    for (let round = 1; round <= 3; round++) {
      const before = state.syncs;
      for (let n = 0; n < 8; n++) await write(overlay, n, round * 100 + n);
      await turns();
      equal(state.syncs, before, `seed ${seed}, round ${round}: eight places wait`);
      await write(overlay, 8, round * 100 + 8);
      await turns();
      ok(state.syncs > before, `seed ${seed}, round ${round}: nine do not`);
    }
    // It is a whole flush: what was written is there after a power cut.
    const next = await open(disk.reboot().files, it);
    const into = new Uint8Array(PAGE);
    await next.read(into, 8 * PAGE);
    deepEqual(Buffer.from(into), bytesOf(308, 8 * PAGE, PAGE));
  }
});

test('writes wait at the bound of what is not proven until a flush is over, short ones and long ones', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const bound = 20;
    const limits = { unprovenMax: 10 * PLACE_LENGTH, waitAt: bound * PLACE_LENGTH, deadMax: 1e9 };
    const it = rig(seeded(seed), seed, { limits, size: 200 * PAGE });
    const disk = await prepared(it);
    const { files, state } = heldSyncs(disk.files);
    const overlay = await open(files, it);
    // What was paid for is used up, and the journal says that the overlay has begun.
    for (let n = 0; n < 16; n++) await write(overlay, 120, n);
    await overlay.flush();
    await overlay.idle();
    const before = overlay.stats.appended;
    const { promise, resolve } = Promise.withResolvers<void>();
    state.until = promise;
    const answered: number[] = [];
    const short: Promise<unknown>[] = [];
    for (let n = 0; n < 5; n++) {
      short.push(write(overlay, n, 1 + n).then(() => answered.push(n)));
      // Some come when there is room and those before them were not woken yet.
      await Promise.resolve();
    }
    const long = overlay.write(bytesOf(7, 50 * PAGE, 60 * PAGE), 50 * PAGE, 'cached');
    await turns();
    equal(answered.length, 5, `seed ${seed}: the long one waits`);
    // The pool may end them in any order.
    if (seed % 4 < 2) deepEqual(answered, [0, 1, 2, 3, 4], 'none overtakes another');
    equal(overlay.stats.appended, before + bound, 'nothing else is sealed in the meantime');
    resolve();
    await Promise.all([...short, long]);
    ok(overlay.stats.appended >= before + 65);
    const into = new Uint8Array(60 * PAGE);
    await overlay.read(into, 50 * PAGE);
    deepEqual(Buffer.from(into), bytesOf(7, 50 * PAGE, 60 * PAGE));
  }
});

/** What guests pay, call by call. */
function counting(): SpaceGuard & { readonly taken: number[] } {
  const taken: number[] = [];
  return { ...ROOMY, taken, tryTake: (bytes) => taken.push(bytes) > 0 };
}

test('space is taken once for each growth, as much as is written and one step at most', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const space = counting();
    const limits = { stepMax: 64, unprovenMax: 1e9, waitAt: 1e9, deadMax: 1e9 };
    const it = rig(seeded(seed), seed, { limits, space, size: 1000 * PAGE });
    const disk = await prepared(it);
    const overlay = await open(disk.files, it);
    const sum = () => space.taken.reduce((all, bytes) => all + bytes, 0) / PLACE_LENGTH;
    for (let page = 0; page < 600; page++) await write(overlay, page, 1 + page);
    ok(sum() >= 600 && sum() < 600 + 64, `seed ${seed}: ${sum()} places were paid for`);
    // 16, 32, and 64 places at a time.
    ok(space.taken.length <= 2 + Math.ceil(600 / 64) + 2, `${space.taken.length} times`);
    const before = sum();
    await overlay.zero(0, 600 * PAGE, 'cached');
    for (let n = 0; n < 3; n++) {
      await overlay.flush();
      await overlay.idle();
    }
    equal(sum(), before, 'trims, flushes and the cleaner take nothing of it');
    deepEqual(overlay.stats.live, 0);
  }
});

/** Calls for space of segments that wait until they are let go. */
function heldSpace(files: FileSystem) {
  const state = { asked: 0, until: Promise.resolve() };
  const holding: FileSystem = {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      if (!path.endsWith('.seg')) return file;
      return {
        ...file,
        async allocate(offset, length) {
          state.asked++;
          await state.until;
          await file.allocate(offset, length);
        },
      };
    },
  };
  return { state, files: holding };
}

test('a file grows before its last places are used: no write waits for that', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const limits = { unprovenMax: 1e9, waitAt: 1e9, deadMax: 1e9, stepMax: 8 };
    const it = rig(seeded(seed), seed, { limits, size: 100 * PAGE });
    const disk = await prepared(it);
    const { state, files } = heldSpace(disk.files);
    const overlay = await open(files, it);
    await turns();
    const { promise, resolve } = Promise.withResolvers<void>();
    state.until = promise;
    state.asked = 0;
    let answered = 0;
    let askedAt = 0;
    for (let page = 0; page < 30 && answered === page; page++) {
      void write(overlay, page, 1 + page).then(() => answered++);
      await turns();
      if (state.asked > 0 && askedAt === 0) askedAt = answered;
    }
    ok(
      askedAt > 0 && answered > askedAt + 1,
      `asked after ${askedAt}, and ${answered} did not wait`,
    );
    resolve();
    await turns();
    await overlay.flush();
    const next = await open(disk.reboot().files, it);
    const into = new Uint8Array(PAGE);
    await next.read(into, 3 * PAGE);
    deepEqual(Buffer.from(into), bytesOf(4, 3 * PAGE, PAGE));
  }
});

test('a segment that has died before any flush is not synced by one, and costs nothing that was flushed', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const limits = { unprovenMax: 1e9, waitAt: 1e9, deadMax: 1e9 };
    const it = rig(seeded(seed), seed, { limits });
    const disk = await prepared(it);
    const synced = new Set<string>();
    const overlay = await open(syncsSeen(disk.files, synced), it);
    for (let page = 0; page < 5; page++) await write(overlay, page, 1 + page);
    await overlay.flush();
    // Some six segments, of which the first and the last hold what counts.
    for (let round = 1; round <= 25; round++) {
      for (let page = 0; page < 5; page++) await write(overlay, page, 100 * round + page);
    }
    const names = (await disk.files.list(HOME)).filter((name) => name.endsWith('.seg')).sort();
    synced.clear();
    await overlay.flush();
    const skipped = names.slice(1, -4).filter((name) => synced.has(name));
    deepEqual(skipped, [], `seed ${seed}`);
    ok(synced.size > 0);
    await overlay.idle();
    const left = (await disk.files.list(HOME)).filter((name) => name.endsWith('.seg'));
    ok(left.length < names.length, 'they are gone after it');
    for (let page = 0; page < 3; page++) await write(overlay, page, 7000 + page);
    const next = await open(disk.reboot().files, it);
    for (let page = 0; page < 5; page++) {
      const into = new Uint8Array(PAGE);
      await next.read(into, page * PAGE);
      const either = page < 3 ? [2500, 7000] : [2500];
      const expected = either.map((stamp) => bytesOf(stamp + page, page * PAGE, PAGE));
      ok(
        expected.some((bytes) => bytes.equals(into)),
        `seed ${seed}, page ${page}`,
      );
    }
    deepEqual(it.damage, []);
  }
});

test('what was flushed stays until what has replaced it is durable', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const limits = { unprovenMax: 1e9, waitAt: 1e9, deadMax: 1e9 };
    const it = rig(seeded(seed), seed, { limits });
    const disk = await prepared(it);
    const written: string[] = [];
    const overlay = await open(writesSeen(disk.files, written), it);
    for (let page = 0; page < 3; page++) await write(overlay, page, 1 + page);
    await overlay.flush();
    // The next segment alone has what replaces page 0, and nothing counts in the first one.
    for (let n = 0; n < PLACES; n++) await write(overlay, 1 + (n % 2), 100 + n);
    await write(overlay, 0, 200);
    for (let n = 0; n < PLACES; n++) await write(overlay, 1 + (n % 2), 300 + n);
    const head = written.at(-1)!;
    disk.failSyncs((path) => (basename(path) === head ? undefined : 'none'));
    await overlay.flush().catch(() => {});
    const next = await open(disk.reboot().files, it);
    const into = new Uint8Array(PAGE);
    await next.read(into, 0);
    const either = [1, 200].map((stamp) => bytesOf(stamp, 0, PAGE));
    ok(
      either.some((bytes) => bytes.equals(into)),
      `seed ${seed}`,
    );
    deepEqual(it.damage, []);
  }
});

test('a long write lets others in between its parts', async () => {
  const it = rig(() => 0.5, 1, { size: 400 * PAGE, limits: { unprovenMax: 1e9, waitAt: 1e9 } });
  const overlay = await open((await prepared(it)).files, it);
  await write(overlay, 0, 1);
  let turnsOfLoop = 0;
  let isWritten = false;
  const count = (): void => {
    turnsOfLoop++;
    if (!isWritten) setImmediate(count);
  };
  setImmediate(count);
  await overlay.write(bytesOf(2, 0, 300 * PAGE), 0, 'cached');
  isWritten = true;
  // A segment has room for less than PLACES of them.
  ok(turnsOfLoop > 300 / PLACES, `${turnsOfLoop} turns`);
});

/** Names of the segments that were synced. */
function syncsSeen(files: FileSystem, synced: Set<string>): FileSystem {
  return {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      return {
        ...file,
        sync() {
          synced.add(basename(path));
          return file.sync();
        },
      };
    },
  };
}

test('what is written and trimmed again leaves the guard what it had, but for files that are open', async () => {
  const it = rig(seeded(1), 1, { size: 1000 * PAGE });
  const disk = await prepared(it);
  const capacity = disk.used() + 20 * MiB;
  disk.limit(capacity);
  const { files } = disk;
  const reserve = () => 2 * MiB;
  const { clock } = it;
  const space = spaceGuard({
    space: sharedSpace({ files, directory: HOME }),
    clock,
    reserve,
    whenFull: 'refuse',
  });
  const overlay = await open(files, { ...it, options: { space } });
  const before = await space.left();
  for (let round = 1; round <= 12; round++) {
    // Some 4 MiB of 18, so that all of it would not fit without what was given back.
    for (let page = 0; page < 1000; page += 10) {
      await overlay.write(bytesOf(round, page * PAGE, 10 * PAGE), page * PAGE, 'cached');
    }
    ok((await space.left()) < before - 3.5 * MiB);
    await overlay.zero(0, 1000 * PAGE, 'cached');
    for (let n = 0; n < 3; n++) {
      await overlay.flush();
      await overlay.idle();
    }
    const lost = before - (await space.left());
    ok(lost < 0.5 * MiB, `round ${round}: ${lost} bytes are not given back`);
    equal(await space.left(), capacity - 2 * MiB - disk.used());
  }
});
