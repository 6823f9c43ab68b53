import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { checkChain } from '../../src/catalog/check-chain.ts';
import { usableHead } from '../../src/catalog/point-chain.ts';
import { listPoints } from '../../src/catalog/points.ts';
import { newestBackup, publishPoint } from '../../src/catalog/publication.ts';
import { forgetLost, forgetPoint } from '../../src/catalog/removal/forget-point.ts';
import type { PointOrigin } from '../../src/formats/store/catalog/point.ts';
import { lockStore } from '../../src/store/directory/store-lock.ts';
import { realWorld } from '../../src/sys/world.ts';
import { newStore } from '../support/store.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { pointsDirectory } from '../../src/catalog/point-places.ts';

/** An encrypted set "set" in a store of this release. */
async function place() {
  const world = realWorld();
  const home = join(temporaryDirectory(), 'store');
  const { store, set } = await newStore(world, { passphrase: 'correct horse', home });
  const directory = pointsDirectory(store, 'set');
  const names = (): string[] => readdirSync(directory).sort();
  const path = (name: string): string => join(directory, name);
  async function publish(id: string, machine = 'm', origin: PointOrigin = 'backup'): Promise<void> {
    await using _lock = await lockStore(store, 'test');
    await publishPoint(store, set, {
      ...{ id, machine, parent: undefined, origin, disks: [] },
      stats: { readBytes: 0, storedBytes: 0 },
    });
  }
  const forget = (id: string) => forgetPoint(store, { set: 'set', id });
  const problems = async (): Promise<string[]> =>
    (await checkChain(store, 'set', set.keys)).map(({ reason }) => reason);
  const head = join(directory, '../heads/m.head');
  return { world, store, set, publish, forget, problems, names, path, head };
}

test('points that are forgotten are not missed, and their tombstones go with the next backup', async () => {
  for (const order of [
    ['m-1', 'm-2', 'm-3', 'm-4'],
    ['m-4', 'm-3', 'm-2', 'm-1'],
    ['m-2', 'm-4', 'm-1', 'm-3'],
  ]) {
    const it = await place();
    for (const id of ['m-1', 'm-2', 'm-3', 'm-4']) await it.publish(id);
    for (const id of order) {
      await it.forget(id);
      deepEqual(await it.problems(), [], `${order.join()} at ${id}`);
    }
    await it.publish('m-5');
    deepEqual(await it.problems(), []);
    deepEqual(it.names(), ['m-4.forgotten', 'm-5.point']);
    const { points } = await listPoints(it.store, 'set', it.set.keys);
    equal(points[0]!.sequence, 5);
  }
});

test('points are counted in a store without a chain too', async () => {
  const it = await place();
  const store = { ...it.store, has: () => false };
  await using _lock = await lockStore(store, 'test');
  for (const id of ['m-1', 'm-2', 'm-3']) {
    await publishPoint(store, it.set, {
      ...{ id, machine: 'm', parent: undefined, origin: 'backup', disks: [] },
      stats: { readBytes: 0, storedBytes: 0 },
    });
  }
  const { points } = await listPoints(store, 'set', it.set.keys);
  deepEqual(
    points.map(({ sequence }) => sequence),
    [1, 2, 3],
  );
});

test('any recovery point that was deleted is missed, also after later backups and forgettings', async () => {
  for (const id of ['m-1', 'm-2', 'm-3']) {
    const it = await place();
    for (const id of ['m-1', 'm-2', 'm-3', 'n-1']) await it.publish(id, id[0]);
    const others = ['m-1', 'm-2', 'm-3'].filter((it) => it !== id);
    await it.forget(others[0]!);
    unlinkSync(it.path(`${id}.point`));
    const missed = new RegExp(`^recovery point ${id} was deleted: [^\\n]*$`);
    match((await it.problems()).join('\n'), missed);
    await it.publish('m-4');
    match((await it.problems()).join('\n'), missed);
    await it.forget(others[1]!);
    await it.publish('m-5');
    await it.forget('m-4');
    match((await it.problems()).join('\n'), missed);
    // Until a person says that it was meant.
    await rejects(forgetLost(it.store, 'm-9'), { code: 'NOT_FOUND' });
    await forgetLost(it.store, id);
    deepEqual(await it.problems(), []);
    await it.publish('m-6');
    deepEqual(await it.problems(), []);
    await rejects(forgetLost(it.store, id), { code: 'NOT_FOUND' });
  }
});

test('all points of a machine that were deleted are missed', async () => {
  const it = await place();
  for (const id of ['m-1', 'm-2']) await it.publish(id);
  for (const id of ['m-1', 'm-2']) unlinkSync(it.path(`${id}.point`));
  match(
    (await it.problems()).join('\n'),
    /^recovery point m-2 was deleted: .*m\.head names it.*\n.*m-1 was/,
  );
});

test('a tombstone that was removed, or put there without the record, is noticed', async () => {
  const it = await place();
  for (const id of ['m-1', 'm-2', 'm-3']) await it.publish(id);
  await it.forget('m-2');
  const grave = it.path('m-2.forgotten');
  const bytes = readFileSync(grave);
  unlinkSync(grave);
  match((await it.problems()).join('\n'), /^recovery point m-2 was deleted/);
  writeFileSync(grave, 'x');
  match((await it.problems()).join('\n'), /record of a forgotten point is damaged/);
  // Another authentic record under its name.
  copyFileSync(it.path('m-1.point'), grave);
  match((await it.problems()).join('\n'), /is not the record that recovery point m-3 names/);
  writeFileSync(grave, bytes);
  deepEqual(await it.problems(), []);
});

test('a head that is missing, damaged or of another machine is noticed; the next backup writes it', async () => {
  const it = await place();
  for (const id of ['m-1', 'm-2', 'n-1']) await it.publish(id, id[0]);
  const whole = readFileSync(it.head);
  renameSync(it.head, `${it.head}.away`);
  match((await it.problems()).join('\n'), /m\.head is missing/);
  for (let at = 0; at < whole.length; at += 7) {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 4;
    writeFileSync(it.head, bytes);
    match((await it.problems()).join('\n'), /m\.head/);
  }
  copyFileSync(join(it.head, '../n.head'), it.head);
  match((await it.problems()).join('\n'), /m\.head is the head of set\/n/);
  await it.publish('m-3');
  deepEqual(await it.problems(), []);
});

test('a crash between a point and its head leaves a chain that leads to the head', async () => {
  const it = await place();
  await it.publish('m-1');
  const before = readFileSync(it.head);
  await it.publish('m-2');
  writeFileSync(it.head, before);
  deepEqual(await it.problems(), []);
  await it.publish('m-3');
  deepEqual(await it.problems(), []);
  const of = { set: 'set', machine: 'm' };
  equal((await usableHead(it.store, of, it.set.keys.record))?.point?.id, 'm-3');
  const { points } = await listPoints(it.store, 'set', it.set.keys);
  deepEqual(
    points.map(({ previous }) => previous?.id),
    [undefined, 'm-1', 'm-2'],
  );
});

test('a tombstone of a session, or of an older backup, does not make the newest backup unknown', async () => {
  const it = await place();
  for (const id of ['m-1', 'm-2']) await it.publish(id);
  await it.publish('m-3', 'm', 'session');
  const newest = () => newestBackup(it.store, it.set, 'm');
  await it.forget('m-3');
  await it.forget('m-1');
  deepEqual(it.names(), ['m-1.forgotten', 'm-2.point', 'm-3.forgotten']);
  let found = await newest();
  deepEqual([found.point?.id, found.forgotten], ['m-2', undefined]);
  // If a tombstone is damaged, the point that names it says that it is older.
  const path = it.path('m-1.forgotten');
  const bytes = readFileSync(path);
  bytes[30]! ^= 1;
  writeFileSync(path, bytes);
  found = await newest();
  deepEqual([found.point?.id, found.forgotten], ['m-2', undefined]);
  await it.forget('m-2');
  found = await newest();
  equal(found.point, undefined);
  ok(found.forgotten);
});

test('a file among the heads that has no name of a machine does not end a check', async () => {
  const it = await place();
  await it.publish('m-1');
  copyFileSync(it.head, join(it.head, '../no name.head'));
  await it.forget('m-1');
  deepEqual(await it.problems(), []);
});
