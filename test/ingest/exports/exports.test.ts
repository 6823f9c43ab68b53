import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { listPoints } from '../../../src/catalog/points.ts';
import { checkChain } from '../../../src/catalog/check-chain.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { createSet, renamedSet, unlockSet } from '../../../src/catalog/sets.ts';
import { lookAtExport } from '../../../src/ingest/exports/look-export.ts';
import { writeExport } from '../../../src/ingest/exports/write-export.ts';
import { concatBytes } from '../../../src/lib/bytes.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { packPath } from '../../../src/store/packs/pack-path.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { emptyStore, exportOf, importInto, pipeOf } from '../../support/exports.ts';
import { noise, seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

/** Three segments, each with some data. */
const SIZE = 3 * 2 ** 20;
const FIRST = new Uint8Array(SIZE);
for (let at = 0; at < SIZE; at += SIZE / 6) FIRST.set(noise(60_000, at + 1), at);
const SECOND = FIRST.slice();
SECOND.set(noise(100_000, 2), 2_500_000);
const CONTENTS = [FIRST, SECOND];

/** A store with a point of FIRST and one of SECOND, and both as an export. */
async function setUp(passphrase?: string) {
  const { store, set } = await newStore(simulatedWorld(), passphrase ? { passphrase } : {});
  const points = [await storePoint(store, set, FIRST), await storePoint(store, set, SECOND)];
  return { store, set, points, bytes: await exportOf(store, set) };
}

async function look(bytes: Uint8Array) {
  return lookAtExport(pipeOf(bytes), { isRead: true, signal: undefined, onProgress() {} });
}

for (const passphrase of [undefined, 'horse']) {
  const kind = passphrase === undefined ? 'plain' : 'encrypted';
  test(`points of an ${kind} set are the same in an empty store`, async () => {
    const { set, points, bytes } = await setUp(passphrase);
    const { files } = crashingFs(seeded(5));
    const other = await emptyStore(files);
    const { points: done, damage } = await importInto(other, set, bytes);
    deepEqual(damage, []);
    deepEqual(
      done.map(({ id, state }) => `${id} ${state}`),
      points.map(({ id }) => `${id} imported`),
    );
    const there = await soundness(files, set, (_point, at) => CONTENTS[at]!);
    deepEqual(
      there.map(({ id, created, sequence, parent }) => ({ id, created, sequence, parent })),
      points.map(({ id, created, sequence, parent }) => ({ id, created, sequence, parent })),
    );
    deepEqual(await checkChain(other, 'set', set.keys), []);
    // A backup there continues the machine, and builds on what was imported.
    const third = SECOND.slice();
    third.set(noise(5000, 9));
    await storePoint(other, set, third, {
      changed: { since: undefined, disks: new Map([['vda', [{ offset: 0, length: 8192 }]]]) },
    });
    await soundness(files, set, (_point, at) => [...CONTENTS, third][at]!);
    deepEqual(await checkChain(other, 'set', set.keys), []);
  });
}

test('the list of an export needs no key, and a whole one has no damage', async () => {
  const { points, bytes } = await setUp('horse');
  const { contents, damage } = await look(bytes);
  deepEqual(damage, []);
  deepEqual(contents!.sets, [{ name: 'set', encrypted: true }]);
  deepEqual(
    contents!.points.map(({ id, machine, disks }) => ({ id, machine, disks })),
    points.map(({ id }) => ({ id, machine: 'vm', disks: [{ name: 'vda', size: SIZE }] })),
  );
  const [first, second] = contents!.points;
  ok(first!.bytes > 200_000 && second!.bytes < 150_000, 'what both have is counted once');
  ok(bytes.length < 1.1 * (first!.bytes + second!.bytes), 'and is in the file once');
});

test('zeros behind the end, as a tape leaves them, are no damage, anything else is', async () => {
  const { bytes } = await setUp();
  const padded = Buffer.concat([bytes, new Uint8Array(200_000)]);
  deepEqual((await look(padded)).damage, []);
  padded[bytes.length + 77] = 1;
  const [found] = (await look(padded)).damage;
  equal(found!.offset, bytes.length + 77);
  match(found!.what, /bytes follow the end/);
});

test('importing again stores nothing, and says that the points are there', async () => {
  const { set, bytes } = await setUp('horse');
  const other = await emptyStore();
  await importInto(other, set, bytes);
  const { points, storedBytes } = await importInto(other, set, bytes);
  deepEqual(new Set(points.map(({ state }) => state)), new Set(['exists']));
  equal(storedBytes, 0);
});

test('under another name the blocks that the store has are found, and a later backup too', async () => {
  const { store, set, points, bytes } = await setUp('horse');
  const renamed = renamedSet(set, 'old');
  const done = await importInto(store, renamed, bytes);
  deepEqual(new Set(done.points.map(({ state }) => state)), new Set(['imported']));
  equal(done.storedBytes, 0);
  const list = await listPoints(store, 'old', set.keys);
  deepEqual(
    list.points.map(({ id }) => id),
    points.map(({ id }) => id),
  );
});

test('a point older than those of its machine is refused, with what to do', async () => {
  const { store, set, points, bytes } = await setUp();
  await forgetPoint(store, { set: 'set', id: points[0]!.id });
  const done = await importInto(store, set, bytes);
  deepEqual(
    done.points.map(({ state }) => state),
    ['failed', 'exists'],
  );
  match(done.points[0]!.reason!, /newer recovery points of machine "vm".*--as NAME/);
});

test('a dry run authenticates everything and changes nothing', async () => {
  const { set, bytes } = await setUp('horse');
  const { files } = crashingFs(seeded(5));
  const other = await emptyStore(files);
  const before = await files.list(HOME);
  const { points } = await importInto(other, set, bytes, { isDryRun: true });
  deepEqual(new Set(points.map(({ state }) => state)), new Set(['new']));
  deepEqual(await files.list(HOME), before);
  deepEqual(await files.list(`${HOME}/packs`), []);
});

test('frames that do not belong to their digests never reach a store', async () => {
  const { set, bytes } = await setUp();
  const { set: stranger } = await newStore(simulatedWorld(undefined, 3), { passphrase: 'cow' });
  const other = await emptyStore();
  // All checksums are right; only the key tells.
  const keys = { ...set, keys: stranger.keys };
  const { points, damage, storedBytes } = await importInto(other, keys, bytes);
  equal(storedBytes, 0);
  ok(damage.length > 10 && damage.every(({ what }) => /is damaged/.test(what)));
  deepEqual(new Set(points.map(({ state }) => state)), new Set(['failed']));
});

test('a point that the store has lost a part of is left out and named, the others are there', async () => {
  const { store, set, points } = await setUp();
  const third = noise(200_000, 44);
  await storePoint(store, set, new Uint8Array(2 ** 20).fill(7), {
    id: 'vm-20270101T000000Z-00000a',
  });
  const before = new Set(await store.packs.list());
  const contents = new Uint8Array(2 ** 20);
  contents.set(third);
  const lost = await storePoint(store, set, contents);
  const blocks = (await store.packs.list()).find((it) => !before.has(it))!;
  await store.files.unlink(packPath(`${HOME}/packs`, blocks));
  const other = await emptyStore();
  const done = await importInto(other, set, await exportOf(store, set));
  const failed = done.points.filter(({ state }) => state === 'failed');
  deepEqual(
    failed.map(({ id }) => id),
    [lost.id],
  );
  match(failed[0]!.reason!, /could not be exported: .*cannot be read/);
  equal(done.points.length, points.length + 2);
  deepEqual(done.damage, []);
});

test('a full disk ends an import, and with more space it continues', async () => {
  const { set, points, bytes } = await setUp();
  const disk = crashingFs(seeded(5));
  const other = await emptyStore(disk.files);
  disk.limit(disk.used() + 300_000);
  await rejects(importInto(other, set, bytes), { code: 'NO_SPACE' });
  disk.limit(2 ** 41);
  const next = await openStore(simulatedWorld(disk.files), HOME);
  const { points: done } = await importInto(next, set, bytes);
  deepEqual(new Set(done.map(({ state }) => state)), new Set(['imported']));
  equal((await soundness(disk.files, set, (_point, at) => CONTENTS[at]!)).length, points.length);
});

test('of several sets only those that are wanted are imported', async () => {
  const { store, set } = await setUp('horse');
  const { record } = await createSet(store, 'second', {});
  const second = await unlockSet(record, undefined);
  const third = await storePoint(store, second, noise(2 ** 20, 4));
  const parts: Uint8Array[] = [];
  const { points } = await listPoints(store, 'set', set.keys);
  const both = [
    { set, points },
    { set: second, points: [third] },
  ];
  await writeExport(store, both, async (part) => void parts.push(part.slice()), {
    ...{ signal: undefined, onPlanned() {}, onProgress() {} },
    async onBegin() {},
  });
  const other = await emptyStore();
  const done = await importInto(other, second, concatBytes(...parts), {
    setFor: async ({ name }) => (name === 'second' ? { name, set: second } : undefined),
  });
  deepEqual(
    done.points.map(({ set: of, id, state }) => [of, id, state]),
    [['second', third.id, 'imported']],
  );
  deepEqual(done.damage, []);
});

test('what is no export is refused', async () => {
  const other = await emptyStore();
  const { set } = await setUp();
  for (const it of [noise(100_000, 3), new Uint8Array(0), new Uint8Array(300_000)]) {
    await rejects(importInto(other, set, it), { message: /not an export/ });
  }
});
