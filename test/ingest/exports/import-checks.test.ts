import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { listPoints } from '../../../src/catalog/points.ts';
import { createSet, type OpenSet, readSet } from '../../../src/catalog/sets.ts';
import { encodeExportContents } from '../../../src/formats/store/exports/export-contents.ts';
import { encodeProfile } from '../../../src/formats/store/catalog/profile.ts';
import { encodeSet } from '../../../src/formats/store/catalog/set-record.ts';
import { exportWriter } from '../../../src/ingest/exports/export-writer.ts';
import { PROFILES_MAX } from '../../../src/ingest/exports/read-import.ts';
import { writeExport } from '../../../src/ingest/exports/write-export.ts';
import { concatBytes } from '../../../src/lib/bytes.ts';
import type { Store } from '../../../src/store/directory/store.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { emptyStore, exportOf, importInto } from '../../support/exports.ts';
import { noise, seeded } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const CONTENTS = noise(2 ** 20, 1);

async function encrypted() {
  const { store, set } = await newStore(simulatedWorld(), { passphrase: 'horse' });
  await storePoint(store, set, CONTENTS);
  return { store, set };
}

const plain = async () => newStore(simulatedWorld(undefined, 3));

test('a file with two sets of one name is refused before anything of the second is stored', async () => {
  const { store, set } = await encrypted();
  const { set: second } = await plain();
  const parts: Uint8Array[] = [];
  const { points } = await listPoints(store, set.name, set.keys);
  const both = [
    { set, points },
    { set: second, points: [] },
  ];
  await writeExport(store, both, async (part) => void parts.push(part.slice()), {
    ...{ signal: undefined, onPlanned() {}, onProgress() {} },
    async onBegin() {},
  });
  const { files } = crashingFs(seeded(5));
  const other = await emptyStore(files);
  const done = importInto(other, set, concatBytes(...parts), {
    setFor: async ({ name, slots }) => ({ name, set: slots.length > 0 ? set : second }),
  });
  await rejects(done, { code: 'CORRUPT', message: /two backup sets "set"/ });
  deepEqual(await files.list(`${HOME}/sets`), []);
});

test('a set that appeared since the file was opened is compared again under the lock', async () => {
  const { store, set } = await encrypted();
  const bytes = await exportOf(store, set);
  for (const passphrase of [undefined, Buffer.from('cow')]) {
    const other = await emptyStore();
    const done = importInto(other, set, bytes, {
      async setFor({ name }) {
        await createSet(other, name, { passphrase });
        return { name, set };
      },
    });
    await rejects(done, { code: 'EXISTS', message: /is not the one in the file/ });
    const { slots } = await readSet(other, 'set');
    equal(slots.length > 0, passphrase !== undefined);
  }
});

test('what the caller says of all sets counts before anything is stored', async () => {
  const { store, set } = await encrypted();
  const { files } = crashingFs(seeded(5));
  const other = await emptyStore(files);
  const onSets = () => Promise.reject(new Error('not these'));
  await rejects(importInto(other, set, await exportOf(store, set), { onSets }), /not these/);
  deepEqual(await files.list(`${HOME}/sets`), []);
  deepEqual(await files.list(`${HOME}/packs`), []);
});

/** The same store with a clock that shows this day. */
const on = (store: Store, day: number): Store => ({
  ...store,
  clock: { ...store.clock, now: () => new Date(Date.UTC(2026, 0, day)) },
});

/** A point of the first day in two stores, which then have points of these days. */
async function parted(here: readonly number[], there: readonly number[]) {
  const { store, set } = await newStore(simulatedWorld(), {});
  await storePoint(on(store, 1), set, CONTENTS);
  const other = await emptyStore();
  await importInto(other, set, await exportOf(store, set));
  for (const day of here) await storePoint(on(store, day), set, noise(2 ** 20, day));
  for (const day of there) await storePoint(on(other, day), set, noise(2 ** 20, 100 + day));
  return { set, other, bytes: await exportOf(store, set) };
}

async function states(set: OpenSet, other: Store, bytes: Uint8Array): Promise<string[][]> {
  const dry = await importInto(other, set, bytes, { isDryRun: true });
  const done = await importInto(other, set, bytes);
  return [dry, done].map(({ points }) => points.map(({ state }) => state));
}

test('a point that is older by its time does not become the latest, whatever its number', async () => {
  // The third one here has a higher number than the second one there.
  const { set, other, bytes } = await parted([2, 3], [9]);
  const before = await listPoints(other, 'set', set.keys);
  const [dry, done] = await states(set, other, bytes);
  deepEqual(dry, ['exists', 'failed', 'failed']);
  deepEqual(done, dry);
  const { points } = await importInto(other, set, bytes);
  match(points.at(-1)!.reason!, /newer recovery points of machine "vm".*--as NAME/);
  deepEqual(await listPoints(other, 'set', set.keys), before);
});

test('a point that is older by its number is refused, whatever its time', async () => {
  const { set, other, bytes } = await parted([9], [2, 3]);
  deepEqual(await states(set, other, bytes), [
    ['exists', 'failed'],
    ['exists', 'failed'],
  ]);
});

test('a newer one is imported, and a clock that was wrong in one store is no hindrance', async () => {
  const { set, other, bytes } = await parted([2, 9], [3]);
  deepEqual(await states(set, other, bytes), [
    ['exists', 'failed', 'new'],
    ['exists', 'failed', 'imported'],
  ]);
  const back = await parted([9, 2], []);
  deepEqual(await states(back.set, back.other, back.bytes), [
    ['exists', 'new', 'new'],
    ['exists', 'imported', 'imported'],
  ]);
});

test('boot profiles beyond those that fit in memory are named', async () => {
  const { set } = await plain();
  const notices: string[] = [];
  for (const count of [PROFILES_MAX, PROFILES_MAX + 2]) {
    const parts: Uint8Array[] = [];
    const { random } = simulatedWorld();
    const writer = exportWriter(async (part) => void parts.push(part.slice()), random);
    const sets = [{ name: 'set', encrypted: false }];
    await writer.record('begin', 0, encodeExportContents({ created: '', sets, points: [] }));
    await writer.record('set', 0, encodeSet(set.record));
    for (let n = 0; n < count; n++) {
      await writer.record(
        'profile',
        0,
        encodeProfile({ machine: `m${n}`, disks: [] }, set.keys.record),
      );
    }
    await writer.end();
    const onNotice = (message: string) => void notices.push(message);
    await importInto(await emptyStore(), set, concatBytes(...parts), { onNotice });
    equal(notices.length, count > PROFILES_MAX ? 1 : 0);
  }
  match(notices[0]!, /more than 64 machines of set "set"/);
});
