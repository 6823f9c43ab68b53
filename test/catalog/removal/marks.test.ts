import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { releaseLease, takeLease } from '../../../src/catalog/leases.ts';
import { listPoints, newPointId, pointPath } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import { forgetLost, forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import {
  changeMarks,
  markedIds,
  marksDamage,
  marksPaths,
  readMarks,
} from '../../../src/catalog/removal/marks.ts';
import { obstaclesIn } from '../../../src/catalog/removal/obstacles.ts';
import {
  lockOfNewPoint,
  putLockDays,
  setLockDamage,
  setLockPaths,
} from '../../../src/catalog/removal/set-lock.ts';
import { recordCopyPath } from '../../../src/store/directory/record-copies.ts';
import { encodeMarks, type MarksRecord } from '../../../src/formats/store/catalog/marks.ts';
import { switchOn } from '../../../src/store/directory/switch-on.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld } from '../../support/store.ts';

const YEAR = Date.parse('2027-01-01T00:00:00.000Z');
const UNTIL = new Date(YEAR).toISOString();

async function withPoint(world = simulatedWorld(), lockedUntil?: string) {
  const { store, set } = await newStore(world, { passphrase: 'secret' });
  const point = await publishPoint(store, set, {
    id: newPointId(world, 'vm1'),
    machine: 'vm1',
    parent: undefined,
    origin: 'backup',
    disks: [{ name: 'vda', size: 512, source: 'x', reference: undefined }],
    stats: { readBytes: 0, storedBytes: 0 },
    ...(lockedUntil !== undefined && { lockedUntil }),
  });
  const mark = (change: Partial<MarksRecord>) =>
    changeMarks(store, set, point.id, (it) => ({ ...it, ...change }));
  const forget = (trustedMs?: number) =>
    forgetPoint(store, { set: 'set', id: point.id }, trustedMs);
  return { store, set, point, place: { set: 'set', id: point.id }, mark, forget };
}

function copyOf({ store, place }: Pick<Awaited<ReturnType<typeof withPoint>>, 'store' | 'place'>) {
  return recordCopyPath(store, pointPath(store, place));
}

async function damage(files: FileSystem, path: string): Promise<void> {
  await using file = await files.open(path, 'write');
  await file.write(Buffer.from('X'), 20);
}

test('a point that is protected, held or locked is not forgotten, and says why', async () => {
  const it = await withPoint();
  await it.mark({ protected: true });
  await rejects(it.forget(YEAR), { code: 'KEPT', message: /is protected/ });
  const since = '2026-11-29T02:00:00.000Z';
  await it.mark({
    protected: false,
    holds: [
      { name: 'legal-2026', since },
      { name: 'audit', since },
    ],
  });
  await rejects(it.forget(YEAR), { code: 'KEPT', message: /held by "legal-2026".*"audit"/s });
  await it.mark({ holds: [], lockedUntil: UNTIL });
  await rejects(it.forget(YEAR - 1), { code: 'KEPT', message: /locked until 2027-01-01T00/ });
  await rejects(it.forget(), { code: 'KEPT' }, 'where the trusted time is not known');
  deepEqual([...(await markedIds(it.store, 'set'))], [it.point.id]);
  await it.forget(YEAR);
  deepEqual((await listPoints(it.store, 'set')).points, []);
  deepEqual([...(await markedIds(it.store, 'set'))], [], 'its marks went with it');
});

test('of the lock in a point and that of its marks the later one counts', async () => {
  const it = await withPoint(undefined, UNTIL);
  await rejects(it.forget(YEAR - 1), { code: 'KEPT' });
  await it.mark({ lockedUntil: new Date(YEAR - 1000).toISOString() });
  await rejects(it.forget(YEAR - 1), { code: 'KEPT', message: /2027-01-01/ });
  await it.mark({ lockedUntil: new Date(YEAR + 1000).toISOString() });
  await rejects(it.forget(YEAR), { code: 'KEPT' });
  await it.forget(YEAR + 1000);
});

test('damaged marks keep a point and name their file; one whole copy is enough', async () => {
  const it = await withPoint();
  const { files } = it.store;
  await it.mark({ note: 'nothing that keeps it' });
  const [first, copy] = marksPaths(it.store, it.place);
  await damage(files, first);
  equal((await readMarks(it.store, it.place))?.note, 'nothing that keeps it');
  deepEqual(
    (await marksDamage(it.store, 'set', undefined)).map(({ path }) => path),
    [first],
  );
  await damage(files, copy);
  await rejects(it.forget(YEAR), (cause: Error) => {
    match(cause.message, /stays: what keeps .* cannot be read: .*\.marks: record/);
    return (cause as Error & { code: string }).code === 'KEPT';
  });
  const obstacles = await obstaclesIn(it.store, 'set', YEAR);
  deepEqual(
    (await obstacles.of(it.point)).map(({ kind }) => kind),
    ['unreadable'],
  );
  await rejects(it.mark({ note: 'b' }), { code: 'CORRUPT' }, 'nor are they replaced');
});

test('of two copies the newer counts, and marks of another point or another key never do', async () => {
  const it = await withPoint();
  const { files } = it.store;
  await it.mark({ note: 'old' });
  const [first] = marksPaths(it.store, it.place);
  const old = await files.readFile(first, 16_384);
  const put = async (bytes: Uint8Array): Promise<void> => {
    await using file = await files.create(first);
    await file.write(bytes, 0);
  };
  await it.mark({ protected: true });
  await files.unlink(first);
  await put(old);
  await rejects(it.forget(YEAR), { code: 'KEPT', message: /is protected/ });
  const marks = (await readMarks(it.store, it.place))!;
  const foreign = { ...marks, point: 'vm2-20261129T020000Z-3f9c2a', protected: false };
  await files.unlink(first);
  await put(encodeMarks({ ...foreign, counter: 99 }, it.set.keys.record));
  await rejects(it.forget(YEAR), { code: 'KEPT', message: /is protected/ });
  await files.unlink(first);
  await put(encodeMarks({ ...marks, counter: 99, protected: false }, new Uint8Array(32)));
  equal((await readMarks(it.store, it.place, it.set.keys.record))?.protected, true);
  equal((await it.mark({ note: 'x' })).protected, true, 'a forged record is not built upon');
});

test('a power cut at any call leaves the old marks or the new ones', async () => {
  const disk = crashingFs(seeded(1));
  const it = await withPoint(simulatedWorld(disk.files));
  await it.mark({ protected: true, note: 'old' });
  const seen = new Set<string>();
  for (let cut = 1, isDone = false; !isDone; cut++) {
    const copy = disk.copy(seeded(cut), cut);
    const store = await openStore(simulatedWorld(copy.files), HOME).catch(onlyPowerCuts);
    if (!store) continue;
    try {
      await changeMarks(store, it.set, it.point.id, (marks) => ({ ...marks, note: 'new' }));
      isDone = true;
    } catch (error) {
      onlyPowerCuts(error);
    }
    const after = await openStore(simulatedWorld(copy.reboot().files), HOME);
    const marks = await readMarks(after, it.place, it.set.keys.record);
    equal(marks?.protected, true, `cut ${cut}`);
    seen.add(`${isDone ? 'done' : 'cut'}: ${marks.note}`);
  }
  deepEqual([...seen].toSorted(), ['cut: new', 'cut: old', 'done: new']);
});

test('new points of a set are locked for its days, counted from trusted time', async () => {
  const it = await withPoint();
  equal(await lockOfNewPoint(it.store, it.set), undefined);
  await putLockDays(it.store, it.set, 30);
  const set = { ...it.set, lockBegin: async () => YEAR };
  const harm = async (): Promise<string> =>
    (await setLockDamage(it.store, 'set', it.set.keys.record)).map(({ reason }) => reason).join();
  equal(await lockOfNewPoint(it.store, set), '2027-01-31T00:00:00.000Z');
  const [path, copy] = setLockPaths(it.store, 'set');
  const before = await it.store.files.readFile(path, 4096);
  await damage(it.store.files, path);
  equal(await lockOfNewPoint(it.store, set), '2027-01-31T00:00:00.000Z', 'there are two copies');
  match(
    await harm(),
    /set\.lock: .*; its other copy says 30 days; "holdfast set lock set --days N"/,
  );
  await putLockDays(it.store, it.set, 60);
  equal(await harm(), '');
  // An older one is put back.
  await it.store.files.unlink(path);
  {
    await using file = await it.store.files.create(path);
    await file.write(before, 0);
  }
  equal(await lockOfNewPoint(it.store, set), '2027-03-02T00:00:00.000Z');
  match(await harm(), /set\.lock: it is older than its other copy/);
  for (const one of [path, copy]) await damage(it.store.files, one);
  await rejects(lockOfNewPoint(it.store, set), {
    code: 'CORRUPT',
    message: /no recovery point was created.*set\.lock.*set lock set --days N/s,
  });
});

test('a point whose record is damaged is locked as its copy says, whatever the set locks now', async () => {
  const it = await withPoint(undefined, UNTIL);
  await putLockDays(it.store, it.set, 0);
  await damage(it.store.files, pointPath(it.store, it.place));
  await rejects(it.forget(YEAR - 1), { code: 'KEPT', message: /locked until 2027-01-01T00/ });
  await it.forget(YEAR);
});

test('with the copy damaged as well it stays, unless its set never locked a point', async () => {
  const it = await withPoint(undefined, UNTIL);
  await putLockDays(it.store, it.set, 0);
  await switchOn(it.store, 'kept-points');
  for (const path of [pointPath(it.store, it.place), copyOf(it)]) {
    await damage(it.store.files, path);
  }
  await rejects(it.forget(100 * YEAR), {
    code: 'KEPT',
    message: /neither its record nor the copy .* until when it is locked .*store repair/,
  });
  for (const path of setLockPaths(it.store, 'set')) await it.store.files.unlink(path);
  await it.forget(YEAR);
});

test('what keeps a point keeps it also while its record is missing: its copy may come back', async () => {
  const it = await withPoint(undefined, UNTIL);
  const { files } = it.store;
  const since = '2026-11-29T02:00:00.000Z';
  await it.mark({ holds: [{ name: 'legal-2026', since }] });
  await files.unlink(pointPath(it.store, it.place));
  const forget = (trustedMs?: number) => forgetLost(it.store, it.point.id, trustedMs);
  await rejects(forget(YEAR), { code: 'KEPT', message: /held by "legal-2026".*store repair/ });
  for (const path of marksPaths(it.store, it.place)) await files.unlink(path);
  await rejects(forget(YEAR - 1), { code: 'KEPT', message: /locked until 2027-01-01T00/ });
  await rejects(forget(), { code: 'KEPT' });
  const session = { set: 'set', point: it.point.id, holder: 'session s1' };
  await takeLease(it.store, 's1', session);
  await rejects(forget(YEAR), { code: 'IN_USE', message: /session s1.*store repair/ });
  await releaseLease(it.store, 's1');
  deepEqual(await forget(YEAR), it.place);
});
