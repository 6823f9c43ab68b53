import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { listLeases, takeLease } from '../../src/catalog/leases.ts';
import { listPoints, readPoint } from '../../src/catalog/points.ts';
import { publishPoint } from '../../src/catalog/publication.ts';
import { forgetPoint } from '../../src/catalog/removal/forget-point.ts';
import { createSet, listSets, readSet, unlockSet } from '../../src/catalog/sets.ts';
import { openEngine } from '../../src/engine/base/engine.ts';
import { checkStore } from '../../src/engine/points/stores.ts';
import { resumeSession, startSession } from '../../src/sessions/state/held-session.ts';
import { lockStore } from '../../src/store/directory/store-lock.ts';
import { createStore, openStore } from '../../src/store/directory/store.ts';
import { writeStoreRecord } from '../../src/store/directory/store-record.ts';
import { realWorld } from '../../src/sys/world.ts';
import { rememberApart } from '../support/box-state.ts';

rememberApart();

const PASSPHRASE = Buffer.from('correct horse');
const SECRET = { kind: 'passphrase', passphrase: PASSPHRASE } as const;

/** An encrypted set "a" with a recovery point "p", and an unencrypted set "b". */
async function place() {
  const directory = join(mkdtempSync(join(tmpdir(), 'hf-records-')), 'store');
  const world = realWorld();
  await createStore(world, directory);
  const store = await openStore(world, directory);
  await createSet(store, 'a', { passphrase: PASSPHRASE });
  await createSet(store, 'b', {});
  const path = (...names: string[]): string => join(directory, ...names);
  async function publish(id: string): Promise<void> {
    const set = await unlockSet(await readSet(store, 'a'), SECRET);
    await using _lock = await lockStore(store, 'test');
    await publishPoint(store, set, {
      ...{ id, machine: 'm', parent: undefined, origin: 'backup' },
      disks: [{ name: 'vda', size: 512, source: 'x', reference: undefined }],
      stats: { readBytes: 0, storedBytes: 0 },
    });
  }
  async function problems(): Promise<string[]> {
    await using engine = await openEngine(directory);
    const { problems: found } = await checkStore(engine, {
      ...{ readData: false, secrets: async () => SECRET },
      ...{ signal: new AbortController().signal, report: () => {} },
    });
    return found.map(({ where, what }) => `${where}: ${what}`);
  }
  await publish('p');
  return {
    ...{ directory, world, store, path, publish, problems },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      rmSync(join(directory, '..'), { recursive: true });
    },
  };
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}

// A5
test('any flipped byte of a set record is noticed, harms nothing, and is mended by the next backup', async () => {
  await using it = await place();
  const { store } = it;
  deepEqual(await it.problems(), []);
  const whole = await readSet(store, 'a');
  for (const name of ['set.json', 'set.copy.json']) {
    const path = it.path('sets', 'a', name);
    const bytes = readFileSync(path);
    for (let at = 0; at < bytes.length; at++) {
      flip(path, at);
      deepEqual(await readSet(store, 'a'), whole, `${name} at ${at}`);
      writeFileSync(path, bytes);
    }
    flip(path, bytes.indexOf('domain') + 12);
    const [problem = ''] = await it.problems();
    ok(problem.includes(path), problem);
    await it.publish(`after-${name}`);
    deepEqual(await it.problems(), []);
    deepEqual(readFileSync(path), bytes);
  }
});

test('with both copies damaged the set is damaged, which is not a wrong passphrase, and other sets go on', async () => {
  await using it = await place();
  const { store } = it;
  for (const name of ['set.json', 'set.copy.json']) {
    const path = it.path('sets', 'a', name);
    flip(path, readFileSync(path).indexOf('domain') + 12);
  }
  await rejects(readSet(store, 'a'), { code: 'CORRUPT', message: /checksum|damaged/ });
  // A13
  const listed = await listSets(store);
  deepEqual(
    [listed.sets.map(({ name }) => name), listed.damaged.map(({ set }) => set)],
    [['b'], ['a']],
  );
  equal((await listPoints(store, undefined)).points.length, 1);
  equal((await it.problems()).filter((line) => line.includes('set.')).length, 2);
});

// A14
test('a lost set record is reported, its points stay listed, and its name is not given away', async () => {
  await using it = await place();
  const { store } = it;
  unlinkSync(it.path('sets', 'a', 'set.json'));
  ok((await it.problems()).some((line) => line.endsWith('set.json: is missing')));
  unlinkSync(it.path('sets', 'a', 'set.copy.json'));
  ok((await it.problems()).some((line) => line.includes('both copies')));
  equal((await listPoints(store, undefined)).points.length, 1);
  await rejects(createSet(store, 'a', { passphrase: PASSPHRASE }), { code: 'EXISTS' });
});

// A3
test('a set record of another directory is refused, and so is a key for a set that has no slots', async () => {
  await using it = await place();
  const { store } = it;
  for (const name of ['set.json', 'set.copy.json']) {
    cpSync(it.path('sets', 'b', name), it.path('sets', 'a', name));
  }
  await rejects(readSet(store, 'a'), { code: 'CORRUPT', message: /record of set "b"/ });
  await rejects(unlockSet(await readSet(store, 'b'), SECRET), { code: 'WRONG_KEY' });
});

test('a set without checksum and copy opens, and gets both with the next backup', async () => {
  await using it = await place();
  // As the release of 22 November left it.
  const { id, created } = it.store.record;
  const needs = { read: [], write: [] };
  await writeStoreRecord(it.world.files, it.directory, { id, created, version: 1, needs });
  await (await lockStore(it.store, 'test'))[Symbol.asyncDispose]();
  const path = it.path('sets', 'a', 'set.json');
  const { sum: _, ...record } = JSON.parse(readFileSync(path, 'utf8')) as { sum: string };
  writeFileSync(path, `${JSON.stringify(record, undefined, 2)}\n`);
  unlinkSync(it.path('sets', 'a', 'set.copy.json'));
  deepEqual(await it.problems(), []);
  await it.publish('q');
  flip(path, readFileSync(path).indexOf('domain') + 12);
  await it.publish('r');
  deepEqual(await it.problems(), []);
});

// A22
test('either copy of the record opens the store, and the next writer makes the other one again', async () => {
  await using it = await place();
  const names = ['holdfast-store.json', 'holdfast-store.copy.json'];
  for (const name of names) {
    const path = it.path(name);
    const bytes = readFileSync(path);
    for (let at = 0; at < bytes.length; at++) {
      flip(path, at);
      const again = await openStore(it.world, it.directory);
      equal(again.id, it.store.id, `${name} at ${at}`);
      await again[Symbol.asyncDispose]();
      writeFileSync(path, bytes);
    }
    renameSync(path, `${path}.away`);
    ok((await it.problems()).some((line) => line.endsWith(`${name}: is missing`)));
    await it.publish(`after-${name}`);
    deepEqual(readFileSync(path), bytes);
  }
});

// A24
test('a damaged lease blocks forgetting, is named, and is found by a check', async () => {
  await using it = await place();
  const { store } = it;
  await takeLease(store, 's', { set: 'a', point: 'p', holder: 'session s' });
  const path = it.path('leases', 's.json');
  const bytes = readFileSync(path);
  flip(path, bytes.indexOf('"p"') + 1);
  await rejects(forgetPoint(store, { set: 'a', id: 'p' }), {
    code: 'CORRUPT',
    message: /s\.json/,
  });
  equal((await listLeases(store)).damaged.length, 1);
  ok((await it.problems()).some((line) => line.includes(path)));
  writeFileSync(path, bytes);
  await rejects(forgetPoint(store, { set: 'a', id: 'p' }), { code: 'IN_USE' });
});

test('a session that is resumed takes its lease again, whether it is missing or damaged', async () => {
  await using it = await place();
  const { world, store } = it;
  const engine = { world, store };
  const set = await unlockSet(await readSet(store, 'a'), SECRET);
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'pause' } as const;
  const started = await startSession(engine.store, await readPoint(store, set, 'p'), options);
  const { id } = started.record;
  await started[Symbol.asyncDispose]();
  deepEqual(await it.problems(), []);
  const path = it.path('leases', `${id}.json`);
  const bytes = readFileSync(path);
  unlinkSync(path);
  ok((await it.problems()).some((line) => line.includes(`session ${id}: its lease is missing`)));
  for (const harm of [() => {}, () => flip(path, bytes.indexOf('"p"') + 1)]) {
    harm();
    const resumed = await resumeSession(engine.store, id, { tls: false });
    await resumed[Symbol.asyncDispose]();
    deepEqual(readFileSync(path), bytes);
    deepEqual(await it.problems(), []);
  }
  await rejects(forgetPoint(store, { set: 'a', id: 'p' }), { code: 'IN_USE' });
});
