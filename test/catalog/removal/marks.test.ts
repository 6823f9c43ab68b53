import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { listPoints, newPointId } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import {
  changeMarks,
  markedIds,
  marksDamage,
  marksPaths,
  readMarks,
} from '../../../src/catalog/removal/marks.ts';
import { obstaclesIn } from '../../../src/catalog/removal/obstacles.ts';
import { lockOfNewPoint, putLockDays } from '../../../src/catalog/removal/set-lock.ts';
import { encodeMarks, type MarksRecord } from '../../../src/formats/store/catalog/marks.ts';
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
  equal(await lockOfNewPoint(it.store, set), '2027-01-31T00:00:00.000Z');
  await damage(it.store.files, '/store/sets/set/set.lock');
  await rejects(lockOfNewPoint(it.store, set), {
    code: 'CORRUPT',
    message: /no recovery point was created.*set\.lock.*set lock set --days N/s,
  });
});

test('a point whose record is damaged stays as long as its set would lock it', async () => {
  const it = await withPoint();
  await putLockDays(it.store, it.set, 30);
  await damage(it.store.files, `/store/sets/set/points/${it.point.id}.point`);
  const made = Date.parse(it.point.created);
  await rejects(it.forget(made + 29 * 86_400_000), { code: 'KEPT' });
  await it.forget(made + 31 * 86_400_000);
});
