import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { releaseLease, takeLease } from '../../src/catalog/leases.ts';
import { pointNames } from '../../src/catalog/point-names.ts';
import {
  findPoint,
  listPoints,
  newPointId,
  pageOfPoints,
  readPoint,
} from '../../src/catalog/points.ts';
import { newestBackup, publishPoint } from '../../src/catalog/publication.ts';
import { forgetPoint } from '../../src/catalog/removal/forget-point.ts';
import { loadProfile, saveProfile } from '../../src/catalog/profiles.ts';
import { createSet, listSets, readSet, unlockSet } from '../../src/catalog/sets.ts';
import type { PointOrigin } from '../../src/formats/store/catalog/point.ts';
import { parseRecoveryKey } from '../../src/formats/store/catalog/key-slot.ts';
import { newStore, simulatedWorld } from '../support/store.ts';

async function engine(now: () => Date = () => new Date()) {
  const simulated = simulatedWorld();
  const world = { ...simulated, clock: { ...simulated.clock, now } };
  const { store, set } = await newStore(world, { passphrase: 'secret' });
  const publish = (machine: string, parent?: string, origin: PointOrigin = 'backup') =>
    publishPoint(store, set, {
      id: newPointId(world, machine),
      machine,
      parent,
      origin,
      disks: [{ name: 'vda', size: 512, source: 'x', reference: undefined }],
      stats: { readBytes: 0, storedBytes: 0 },
    });
  return { world, store, set, publish };
}

test('a set opens with its passphrase or its recovery key, and with nothing else', async () => {
  const { world, store } = await engine();
  const passphrase = Buffer.from('correct horse');
  const { record, recoveryKey } = await createSet(store, 'nightly', { passphrase });
  const { keys } = await unlockSet(await readSet(store, 'nightly'), {
    kind: 'passphrase',
    passphrase,
  });
  const key = parseRecoveryKey(recoveryKey!)!;
  deepEqual((await unlockSet(record, { kind: 'recovery-key', key })).keys, keys);
  const wrong = { kind: 'passphrase', passphrase: Buffer.from('wrong') } as const;
  await rejects(unlockSet(record, wrong), {
    code: 'WRONG_KEY',
    message: /not the passphrase of set/,
  });
  await rejects(unlockSet(record, undefined), { code: 'WRONG_KEY', message: /encrypted/ });
  await rejects(createSet(store, 'nightly', {}), { code: 'EXISTS' });
  deepEqual(
    (await listSets(store)).sets.map(({ name }) => name),
    ['nightly', 'set'],
  );
  const files = await world.files.readFile('/store/sets/nightly/set.json', 10_000);
  const text = Buffer.from(files).toString('latin1');
  ok(!text.includes('correct horse') && !text.includes(recoveryKey!));
});

test('names that would be paths are refused', async () => {
  const { store } = await engine();
  for (const name of ['', '.', '..', 'a/b', '../x', '-x', 'a b', 'é', 'x'.repeat(65), 'a\n']) {
    await rejects(createSet(store, name, {}), { code: 'BAD_NAME' });
    await rejects(readSet(store, name), { code: 'BAD_NAME' });
  }
});

test('recovery points are found by ID, beginning and as the latest', async () => {
  const { world, store, set, publish } = await engine();
  const one = await publish('vm1');
  await world.clock.sleep(2);
  const two = await publish('vm1', one.id);
  const other = await publish('vm2');
  match(one.id, /^vm1-\d{8}T\d{6}Z-[0-9a-f]{6}$/);
  deepEqual(await readPoint(store, set, two.id), two);
  for (const query of [two.id, `set/${two.id}`, 'vm1@latest', 'set/vm1@latest']) {
    equal((await findPoint(store, query)).id, two.id, query);
  }
  equal((await findPoint(store, 'vm2')).id, other.id);
  await rejects(findPoint(store, 'vm1-'), { code: 'AMBIGUOUS' });
  for (const query of ['', 'nothing', 'vm3@latest', 'nowhere/vm1@latest', 'set/', '../set']) {
    await rejects(findPoint(store, query), { code: 'NOT_FOUND' }, query);
  }
  equal((await newestBackup(store, set, 'vm1')).point?.id, two.id);
  equal((await newestBackup(store, set, 'vm9')).point, undefined);
});

test('pages are newest first, whatever is between them, and only they are read', async () => {
  let nowMs = Date.UTC(2026, 1, 1);
  const { world, store, publish } = await engine(() => new Date(nowMs));
  const ids: string[] = [];
  for (let n = 0; n < 25; n++) {
    ids.unshift((await publish(n % 5 === 0 ? 'db' : 'web-1')).id);
    nowMs += 1000;
  }
  const names = pointNames(store);
  const all = { set: undefined, machine: undefined, contains: undefined };
  const page = async (of: Partial<Parameters<typeof pageOfPoints>[2]>) => {
    const { points, total } = await pageOfPoints(store, names, {
      ...{ ...all, first: 0, count: 10 },
      ...of,
    });
    return { total, ids: points.map(({ id }) => id) };
  };
  deepEqual(await page({}), { total: 25, ids: ids.slice(0, 10) });
  deepEqual(await page({ first: 20 }), { total: 25, ids: ids.slice(20) });
  deepEqual(await page({ first: 25 }), { total: 25, ids: [] });
  const databases = ids.filter((id) => id.startsWith('db-'));
  deepEqual(await page({ machine: 'db' }), { total: 5, ids: databases });
  deepEqual(await page({ machine: 'web' }), { total: 0, ids: [] });
  deepEqual(await page({ contains: ids[3]!.slice(-6) }), { total: 1, ids: [ids[3]!] });
  await rejects(page({ set: 'nobody' }), { code: 'NOT_FOUND' });
  const path = `/store/sets/set/points/${ids[12]}.point`;
  await using file = await world.files.open(path, 'write');
  await file.write(new Uint8Array([1, 2, 3]), 0);
  deepEqual((await page({})).ids.length, 10);
  const { damaged } = await pageOfPoints(store, names, { ...all, first: 10, count: 5 });
  deepEqual(
    damaged.map(({ id }) => id),
    [ids[12]],
  );
});

test('cached names follow the directory, whichever process changed it', async () => {
  let nowMs = Date.UTC(2026, 1, 1);
  const { world, store, publish } = await engine(() => new Date(nowMs));
  let modifiedMs = 0;
  let lists = 0;
  const files = {
    ...world.files,
    stat: async (path: string) => {
      const status = await world.files.stat(path);
      return status && { ...status, modifiedMs };
    },
    list: (path: string) => {
      lists += Number(path.endsWith('/points'));
      return world.files.list(path);
    },
  };
  const names = pointNames({ ...store, files });
  const listed = async () => (await names.newestFirst(undefined)).length;
  const change = async () => {
    await publish('vm1');
    modifiedMs = nowMs;
  };
  await change();
  deepEqual([await listed(), await listed(), lists], [1, 1, 2], 'too fresh to be believed');
  nowMs += 5000;
  deepEqual([await listed(), await listed(), lists], [1, 1, 3]);
  await change();
  deepEqual([await listed(), lists], [2, 4]);
  await publish('vm2');
  deepEqual([await listed(), lists], [3, 5], 'although the time is the same');
  modifiedMs = Number.NaN;
  nowMs += 5000;
  deepEqual([await listed(), await listed(), lists], [3, 3, 7]);
});

test('a record that was altered is listed as damaged and never taken for the latest', async () => {
  const { world, store, set, publish } = await engine();
  const one = await publish('vm1');
  const path = `/store/sets/set/points/${one.id}.point`;
  await world.files.rename(path, `/store/sets/set/points/vm1-other.point`);
  const { points, damaged } = await listPoints(store, undefined);
  deepEqual(points, []);
  match(damaged[0]!.reason, /says set\/vm1-/);
  await rejects(readPoint(store, set, 'vm1-other'), { code: 'CORRUPT' });
  await rejects(findPoint(store, 'vm1@latest'), {
    code: 'CORRUPT',
    message: /give the ID of the recovery point/,
  });
});

test('a recovery point that a session holds cannot be forgotten', async () => {
  const { store, publish } = await engine();
  const point = await publish('vm1');
  const place = { set: 'set', id: point.id };
  await takeLease(store, 's1', { set: 'set', point: point.id, holder: 'session s1' });
  await rejects(forgetPoint(store, place), { code: 'IN_USE', message: /session s1/ });
  await releaseLease(store, 's1');
  await releaseLease(store, 's1');
  await forgetPoint(store, place);
  await rejects(findPoint(store, point.id), { code: 'NOT_FOUND' });
});

test('the newest is what was published last, whatever the clock says', async () => {
  let nowMs = Date.UTC(2027, 0, 1);
  const { store, set, publish } = await engine(() => new Date(nowMs));
  await publish('vm1');
  nowMs = Date.UTC(2026, 0, 1);
  const two = await publish('vm1');
  equal((await newestBackup(store, set, 'vm1')).point?.id, two.id);
  equal((await findPoint(store, 'vm1@latest')).id, two.id);
  const kept = await publish('vm1', two.id, 'session');
  equal((await newestBackup(store, set, 'vm1')).point?.id, two.id);
  equal((await findPoint(store, 'vm1@latest')).id, kept.id);
});

// A8, D6: listings sorted by date, "latest" by publication.
test('lists have the order of publication, whatever the clock said', async () => {
  let nowMs = Date.UTC(2026, 10, 1);
  const { store, publish } = await engine(() => new Date(nowMs));
  const ids: string[] = [];
  for (const [machine, at] of [
    ['vm1', Date.UTC(2026, 10, 1)],
    ['vm1', Date.UTC(2036, 0, 1)],
    ['vm2', Date.UTC(2026, 10, 2)],
    ['vm1', Date.UTC(2026, 10, 3)],
    ['vm2', Date.UTC(2026, 10, 4)],
    ['vm1', Date.UTC(2016, 0, 1)],
  ] as const) {
    nowMs = at;
    ids.push((await publish(machine)).id);
  }
  // The one of 2016 was made at some time after the one before it: only that is known.
  const expected = [0, 1, 2, 3, 5, 4].map((at) => ids[at]!);
  const listed = await listPoints(store, undefined);
  deepEqual(
    listed.points.map(({ id }) => id),
    expected,
  );
});

test('that the newest backup was forgotten is known until there is a newer one', async () => {
  const { world, store, set, publish } = await engine();
  const place = ({ id }: { readonly id: string }) => ({ set: 'set', id });
  const one = await publish('vm1');
  const two = await publish('vm1');
  const three = await publish('vm1');
  const newest = async () => {
    const { point, forgotten } = await newestBackup(store, set, 'vm1');
    return [point?.id, forgotten];
  };
  // Nothing is remembered about older ones, other machines and kept sessions.
  await forgetPoint(store, place(one));
  await forgetPoint(store, place(await publish('vm1-b')));
  await forgetPoint(store, place(await publish('vm1', three.id, 'session')));
  deepEqual(await newest(), [three.id, undefined]);
  await forgetPoint(store, place(three));
  await rejects(readPoint(store, set, three.id), { code: 'NOT_FOUND' });
  await rejects(forgetPoint(store, place(three)), { code: 'NOT_FOUND' });
  deepEqual(await newest(), [two.id, three.id]);
  await forgetPoint(store, place(two));
  ok((await newest())[1] !== undefined);
  equal((await newest())[0], undefined);
  await publish('vm1', undefined, 'session');
  ok((await newest())[1] !== undefined, 'a session that is kept says nothing of the machine');
  const four = await publish('vm1');
  deepEqual(await newest(), [four.id, undefined]);
  ok(four.sequence > three.sequence);
  const names = await world.files.list('/store/sets/set/points');
  const tombstones = names.filter(
    (name) => name.startsWith('vm1-2') && name.endsWith('.forgotten'),
  );
  equal(tombstones.length, 1, 'of the one before the session that was kept');
});

test('a damaged record may be the newest, also when it was forgotten', async () => {
  const { world, store, set, publish } = await engine();
  const one = await publish('vm1');
  const two = await publish('vm1');
  await publish('vm1-b');
  {
    await using file = await world.files.open(`/store/sets/set/points/${two.id}.point`, 'write');
    await file.write(new Uint8Array(3), 0);
  }
  const found = await newestBackup(store, set, 'vm1');
  deepEqual([found.point?.id, found.damaged?.id], [one.id, two.id]);
  equal((await newestBackup(store, set, 'vm1-b')).damaged, undefined);
  await forgetPoint(store, { set: 'set', id: two.id });
  const after = await newestBackup(store, set, 'vm1');
  deepEqual([after.point?.id, after.damaged, after.forgotten], [one.id, undefined, two.id]);
  const three = await publish('vm1');
  const last = await newestBackup(store, set, 'vm1');
  deepEqual([last.point?.id, last.forgotten], [three.id, undefined]);
});

test('a damaged profile is as good as none', async () => {
  const { world, store, set } = await engine();
  const profile = { machine: 'vm1', disks: [{ name: 'vda', ranges: [{ offset: 0, length: 1 }] }] };
  equal(await loadProfile(store, set, 'vm1'), undefined);
  await saveProfile(store, set, profile);
  deepEqual(await loadProfile(store, set, 'vm1'), profile);
  await using file = await world.files.open('/store/sets/set/profiles/vm1.profile', 'write');
  await file.write(Buffer.from('{"x"'), 0);
  equal(await loadProfile(store, set, 'vm1'), undefined);
});
