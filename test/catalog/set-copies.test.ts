import { deepEqual, equal, match, notDeepEqual, ok, rejects } from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { exportSetKey, importSetKey } from '../../src/catalog/paper-key.ts';
import { listPoints } from '../../src/catalog/points.ts';
import { publishPoint } from '../../src/catalog/publication.ts';
import { checkSetRecords } from '../../src/catalog/set-copies.ts';
import { createSet, readSet, unlockSet } from '../../src/catalog/sets.ts';
import type { Secret } from '../../src/formats/store/catalog/key-slot.ts';
import {
  decodeSet,
  encodeSet,
  type SetRecord,
} from '../../src/formats/store/catalog/set-record.ts';
import { lockStore } from '../../src/store/directory/store-lock.ts';
import { createStore, openStore } from '../../src/store/directory/store.ts';
import { realWorld } from '../../src/sys/world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const OLD = { kind: 'passphrase', passphrase: Buffer.from('correct horse') } as const;
const NEW = { kind: 'passphrase', passphrase: Buffer.from('battery staple') } as const;

const NO = async (): Promise<boolean> => false;

/** An encrypted set "a", and another one, "b". */
async function place() {
  const world = realWorld();
  const directory = join(temporaryDirectory(), 'store');
  await createStore(world, directory);
  const store = await openStore(world, directory);
  for (const name of ['a', 'b']) await createSet(store, name, { passphrase: OLD.passphrase });
  const path = (copy: 'set.json' | 'set.copy.json'): string => join(directory, 'sets/a', copy);
  const open = async (secret: Secret = OLD) => unlockSet(await readSet(store, 'a'), secret);
  async function publish(id: string, set: Awaited<ReturnType<typeof open>>): Promise<void> {
    await using _lock = await lockStore(store, 'test');
    await publishPoint(store, set, {
      ...{ id, machine: 'm', parent: undefined, origin: 'backup', disks: [] },
      stats: { readBytes: 0, storedBytes: 0 },
    });
  }
  const exported = async (name = 'a') => exportSetKey(await readSet(store, name), OLD);
  const renew = async (name = 'a') =>
    importSetKey(store, 'a', {
      key: await exported(name),
      passphrase: NEW.passphrase,
      isLocked: NO,
    });
  const problems = async (): Promise<string> =>
    (await checkSetRecords(store, 'a')).map(({ reason }) => reason).join('\n');
  return { world, store, directory, path, open, publish, exported, renew, problems };
}

test('a stale copy of a set record never brings back a slot that was removed', async () => {
  for (const stale of ['set.json', 'set.copy.json'] as const) {
    const it = await place();
    const before = readFileSync(it.path(stale));
    await it.renew();
    const now = readFileSync(it.path('set.json'));
    writeFileSync(it.path(stale), before);
    match(await it.problems(), new RegExp(`${stale} is older than the other copy`));
    await rejects(it.open(), { code: 'WRONG_KEY' });
    await it.publish('p', await it.open(NEW));
    deepEqual(readFileSync(it.path(stale)), now);
    equal(await it.problems(), '');
  }
});

test('who opened a set before its slots were changed does not write the old ones back', async () => {
  const it = await place();
  const opened = await it.open();
  await it.renew();
  const now = readFileSync(it.path('set.json'));
  await it.publish('p', opened);
  for (const copy of ['set.json', 'set.copy.json'] as const)
    deepEqual(readFileSync(it.path(copy)), now);
});

test('a record of another set of the name, which appeared since a set was opened, is not written over', async () => {
  for (const copies of [['set.json', 'set.copy.json'], ['set.copy.json']] as const) {
    const [it, other] = [await place(), await place()];
    const opened = await it.open();
    const bytes = readFileSync(other.path('set.json'));
    for (const copy of copies) writeFileSync(it.path(copy), bytes);
    await rejects(it.publish('p', opened), {
      code: 'CORRUPT',
      message: /another set of this name/,
    });
    for (const copy of copies) deepEqual(readFileSync(it.path(copy)), bytes);
  }
});

test('a set record that its key does not vouch for is not used, whatever its counter and checksum say', async () => {
  const it = await place();
  const alterations: ((record: SetRecord) => SetRecord)[] = [
    (record) => ({ ...record, cutting: { kind: 'fixed', pages: 1 } }),
    (record) => ({ ...record, slots: record.slots.slice(0, 1) }),
    (record) => ({ ...record, seal: { ...record.seal!, counter: 9 } }),
  ];
  for (const alter of alterations) {
    const whole = readFileSync(it.path('set.json'));
    const bytes = encodeSet(alter(decodeSet(whole)));
    for (const copy of ['set.json', 'set.copy.json'] as const) writeFileSync(it.path(copy), bytes);
    await rejects(it.open(), { code: 'CORRUPT', message: /was altered/ });
    for (const copy of ['set.json', 'set.copy.json'] as const) writeFileSync(it.path(copy), whole);
  }
  // A higher counter does not make a plain set of an encrypted one.
  const record = decodeSet(readFileSync(it.path('set.json')));
  const plain = { ...record, domain: new Uint8Array(16), slots: [] };
  const newer = { ...plain, seal: { ...record.seal!, counter: 9 } };
  writeFileSync(it.path('set.copy.json'), encodeSet(newer));
  match(await it.problems(), /differ: one was altered/);
  await rejects(readSet(it.store, 'a'), { code: 'CORRUPT' });
});

test('in a store whose records are checked a set record without a counter is damaged', async () => {
  const it = await place();
  const record = decodeSet(readFileSync(it.path('set.json')));
  for (const copy of ['set.json', 'set.copy.json'] as const) {
    writeFileSync(it.path(copy), encodeSet({ ...record, seal: undefined }));
  }
  match(await it.problems(), /has no counter/);
  await rejects(readSet(it.store, 'a'), { code: 'CORRUPT' });
});

test('a key on paper makes a lost set record again, and its points open with the new passphrase', async () => {
  const it = await place();
  await it.publish('p', await it.open());
  const key = await it.exported();
  const other = await it.exported('b');
  for (const copy of ['set.json', 'set.copy.json'] as const) unlinkSync(it.path(copy));
  match(await it.problems(), /set import-key/);
  const give = (of: typeof key) =>
    importSetKey(it.store, 'a', { key: of, passphrase: NEW.passphrase, isLocked: NO });
  await rejects(give(other), { code: 'WRONG_KEY' });
  ok(!existsSync(it.path('set.json')), 'nothing was written');
  const made = await give(key);
  notDeepEqual(made.recoveryKey, '');
  await rejects(it.open(), { code: 'WRONG_KEY' });
  const set = await it.open(NEW);
  const { points, damaged } = await listPoints(it.store, 'a', set.keys);
  deepEqual([points.map(({ id }) => id), damaged], [['p'], []]);
  await it.publish('q', set);
  equal(await it.problems(), '');
});

test('a key of another set, or for a set that is not there, changes nothing', async () => {
  const it = await place();
  await rejects(it.renew('b'), { code: 'WRONG_KEY' });
  await it.open();
  rmSync(join(it.directory, 'sets/a'), { recursive: true });
  const key = await it.exported('b');
  await rejects(importSetKey(it.store, 'a', { key, passphrase: NEW.passphrase, isLocked: NO }), {
    code: 'NOT_FOUND',
  });
});
