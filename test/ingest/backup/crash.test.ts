import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { findPoint, listPoints } from '../../../src/catalog/points.ts';
import { newestBackup } from '../../../src/catalog/publication.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { createSet, type OpenSet } from '../../../src/catalog/sets.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { type CrashingFs, crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { noise, seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

/*
 * Power cuts in what makes and forgets recovery points, as commands do it. What a backup stores and in which order
 * is cut in store/write/crash.test.ts, keeping a session in sessions/finish/crash.test.ts.
 */
/** Three segments, most of which are zeros: a list of changes is taken by segments. */
const SIZE = 3 * 2 ** 20;
const SEEDS = Number(process.env['SEEDS'] ?? 3);
const FIRST = new Uint8Array(SIZE);
for (let at = 0; at < SIZE; at += SIZE / 6) FIRST.set(noise(60_000, at + 1), at);
const SECOND = FIRST.slice();
SECOND.set(noise(100_000, 2), 2_500_000);
/** What changed since SECOND is the first 4 KiB. */
const THIRD = SECOND.slice();
THIRD.set(noise(4096, 3));
const CHANGED = {
  since: undefined,
  disks: new Map([['vda', [{ offset: 0, length: 4096 }]]]),
};

async function engineOn(files: FileSystem, seed = 1) {
  const world = simulatedWorld(files, seed);
  return { world, store: await openStore(world, HOME) };
}

/** A store with a point of FIRST and one of SECOND. */
async function setUp() {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world);
  const first = await storePoint(store, set, FIRST);
  const second = await storePoint(store, set, SECOND);
  return { disk, set, first, second };
}

async function forget(files: FileSystem, { id }: PointRecord): Promise<void> {
  const { store } = await engineOn(files, 3);
  await forgetPoint(store, { set: 'set', id });
}

/** Counted from what the hypervisor knows as the newest backup. */
async function backUpChanges(files: FileSystem, set: OpenSet): Promise<PointRecord> {
  const { store } = await engineOn(files, 4);
  return storePoint(store, set, THIRD, { changed: CHANGED });
}

/** Every call of `work` at which the power may go, with several seeds. */
async function* cuts(initial: CrashingFs, work: (files: FileSystem) => Promise<unknown>) {
  const whole = initial.copy(seeded(0));
  await work(whole.files);
  ok(whole.calls() > 5);
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      let isDone = true;
      await work(disk.files).catch((error: unknown) => {
        onlyPowerCuts(error);
        isDone = false;
      });
      yield { files: disk.reboot().files, isDone, where: `cutAt=${cutAt} seed=${seed}` };
    }
  }
}

test('a power cut while a point is forgotten: it is there whole, or gone, and all others are there', async () => {
  const { disk, set, first, second } = await setUp();
  for (const victim of [first, second]) {
    const other = victim === first ? second : first;
    const contentsOf = ({ id }: PointRecord) => (id === first.id ? FIRST : SECOND);
    for await (const { files, isDone, where } of cuts(disk, (files) => forget(files, victim))) {
      const left = (await soundness(files, set, contentsOf)).map(({ id }) => id);
      ok(left.includes(other.id), where);
      if (isDone) equal(left.includes(victim.id), false, where);
      if (left.includes(victim.id)) await forget(files, victim);
      const { store } = await engineOn(files);
      const newest = await newestBackup(store, set, 'vm');
      equal(newest.point?.id, other.id, where);
      equal(newest.forgotten, victim === second ? victim.id : undefined, where);
    }
  }
});

test('a power cut in the backup after the newest was forgotten: changes never count from nothing', async () => {
  const { disk, set, first, second } = await setUp();
  await forget(disk.files, second);
  const contentsOf = ({ id }: PointRecord) => (id === first.id ? FIRST : THIRD);
  for await (const { files, isDone, where } of cuts(disk, (files) => backUpChanges(files, set))) {
    const points = await soundness(files, set, contentsOf);
    ok(points.length === 2 || (points.length === 1 && !isDone), where);
    const { store } = await engineOn(files);
    const newest = await newestBackup(store, set, 'vm');
    ok(newest.point!.id !== first.id || newest.forgotten === second.id, where);
    // Where the new point is there it has seen THIRD; else all is read.
    await backUpChanges(files, set);
    equal((await soundness(files, set, contentsOf)).length, points.length + 1, where);
  }
});

test('a disk that has grown is read where it grew, whatever the list of changes says', async () => {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world);
  await storePoint(store, set, FIRST.subarray(0, 1_500_160));
  const changed = { since: undefined, disks: new Map([['vda', []]]) };
  await storePoint(store, set, FIRST, { changed });
  const contentsOf = (_: unknown, index: number) =>
    index === 0 ? FIRST.subarray(0, 1_500_160) : FIRST;
  equal((await soundness(disk.files, set, contentsOf)).length, 2);
});

test('a power cut in the first backup of a store: the point is there whole, or not at all', async () => {
  const disk = crashingFs(seeded(0));
  const { set } = await newStore(simulatedWorld(disk.files));
  const backUp = async (files: FileSystem) => {
    const { store } = await engineOn(files, 4);
    return storePoint(store, set, FIRST);
  };
  for await (const { files, isDone, where } of cuts(disk, backUp)) {
    const { length } = await soundness(files, set, () => FIRST);
    ok(length === 1 || (length === 0 && !isDone), where);
  }
});

test('a new set waits for who holds the store, a point is forgotten without', async () => {
  const { disk, first, second } = await setUp();
  const { store } = await engineOn(disk.files);
  {
    await using _lock = await lockStore(store, 'another process');
    const busy = { code: 'BUSY', message: /another process/ };
    await rejects(createSet(store, 'other', {}), busy);
    await forgetPoint(store, { set: 'set', id: first.id });
  }
  ok(await findPoint(store, second.id));
  deepEqual((await listPoints(store, 'set')).points.length, 1);
});
