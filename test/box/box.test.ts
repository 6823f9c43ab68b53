import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openBox } from '../../src/box/box.ts';
import { boxDirectory } from '../../src/box/box-directory.ts';
import type { Order } from '../../src/box/store-memory.ts';
import { realWorld } from '../../src/sys/world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const NOTHING = { read: [], write: [] };
const ID = 'a'.repeat(32);
const ORDER: Order = { kind: 'job', name: 'x', order: { id: 'x', request: { b: 1, a: [2] } } };
const SAME: Order = { kind: 'job', name: 'x', order: { request: { a: [2], b: 1 }, id: 'x' } };
const OTHER: Order = { kind: 'job', name: 'x', order: { id: 'x', request: { b: 1, a: [3] } } };

function place() {
  const root = temporaryDirectory();
  const record = { needs: { read: ['a'], write: ['b', 'a'] } };
  const store = { id: ID, directory: join(root, 'store'), record };
  mkdirSync(store.directory);
  const boxAt = (name: string) =>
    openBox(realWorld(), { directory: join(root, name), credentials: join(root, 'credentials') });
  return { root, store, boxAt, file: (...names: string[]) => join(root, ...names) };
}

test('only what was ordered here is obeyed, whatever the order of its fields', async () => {
  const { store, boxAt } = place();
  const memory = boxAt('box').of(store);
  equal((await memory.look()).isOurs(ORDER), false);
  await memory.remember([ORDER]);
  const remembered = await boxAt('box').of(store).look();
  deepEqual([ORDER, SAME, OTHER].map(remembered.isOurs), [true, true, false]);
  // While it changes both count, and then the new one only.
  await memory.remember([OTHER]);
  deepEqual([ORDER, OTHER].map((await memory.look()).isOurs), [true, true]);
  await memory.settle([OTHER]);
  deepEqual([ORDER, OTHER].map((await memory.look()).isOurs), [false, true]);
  await memory.forget([OTHER]);
  equal((await memory.look()).isOurs(OTHER), false);
  equal((await boxAt('another').of(store).look()).isOurs(ORDER), false);
});

test('the first store of a box is adopted, until the box has begun to remember', async () => {
  const { store, boxAt, file } = place();
  const memory = boxAt('box').of(store);
  equal(await memory.meet(), 'first');
  equal(await memory.meet(), 'first', 'cut short before it was adopted');
  await memory.adopt([ORDER], {});
  equal(await memory.meet(), 'known');
  await memory.mark();
  equal(await memory.meet(), 'known');
  const begun = boxAt('begun');
  equal(await begun.isNew(), true);
  await begun.begin();
  equal(await begun.isNew(), false);
  rmSync(file('store', 'box.json'));
  equal(await begun.of(store).meet(), 'new');
  equal((await begun.of(store).look()).isOurs(ORDER), false);
});

test('a store that another box had, or that was put back, is known and its orders are forgotten', async () => {
  const { store, boxAt, file } = place();
  const first = boxAt('first').of(store);
  const second = boxAt('second').of(store);
  await first.adopt([ORDER], { nightly: { domain: '0'.repeat(32), encrypted: true } });
  await first.mark();
  const old = readFileSync(file('store', 'box.json'));
  await first.mark();
  equal(await first.meet(), 'known');
  writeFileSync(file('store', 'box.json'), old);
  equal(await first.meet(), 'returned', 'a copy of some time ago');
  const remembered = await first.look();
  equal(remembered.isOurs(ORDER), false);
  equal(remembered.set('nightly')?.encrypted, true, 'what is encrypted stays so');
  await first.mark();
  await boxAt('second').begin();
  equal(await second.meet(), 'new');
  await second.mark();
  equal(await first.meet(), 'returned');
  rmSync(file('store', 'box.json'));
  equal(await second.meet(), 'returned', 'the mark is gone');
});

test('what a store has lost since is known, until it is adopted', async () => {
  const { store, boxAt } = place();
  const set = { domain: '0'.repeat(32), encrypted: false };
  const memory = boxAt('box').of(store);
  const seen = async (needs: { read: string[]; write: string[] }) => {
    const { lost, gained } = await boxAt('box')
      .of({ ...store, record: { needs } })
      .look();
    return { lost, gained };
  };
  deepEqual(await seen({ read: [], write: ['b'] }), { lost: [], gained: ['b'] });
  await memory.rememberSet('x', set);
  deepEqual(await seen({ read: [], write: ['b'] }), { lost: ['a'], gained: [] });
  deepEqual(await seen({ read: ['c'], write: ['a', 'b'] }), { lost: [], gained: ['c'] });
  const old = boxAt('box').of({ ...store, record: { needs: NOTHING } });
  await old.rememberSet('y', set);
  deepEqual(await seen({ read: [], write: [] }), { lost: ['a', 'b'], gained: [] });
  // An administrator has tried the upgrade on a copy.
  const copy = boxAt('box').of({ ...store, directory: `${store.directory}-copy` });
  deepEqual((await copy.look()).gained, ['a', 'b']);
  const plain = { ...store, directory: `${store.directory}-copy`, record: { needs: NOTHING } };
  deepEqual((await boxAt('box').of(plain).look()).lost, []);
  await old.adopt([], { x: set });
  deepEqual(await seen({ read: [], write: [] }), { lost: [], gained: [] });
});

test('a box that is set back obeys nothing that it obeyed before, and adopts nothing by itself', async () => {
  const { store, boxAt, file } = place();
  const box = boxAt('box');
  await box.of(store).adopt([ORDER], {});
  await box.of(store).mark();
  const before = readFileSync(file('box', 'memory.json'));
  const key = readFileSync(file('box', 'box.key'));
  await box.reset();
  equal(await box.problem(), undefined);
  equal(readFileSync(file('box', 'box.key')).equals(key), false);
  equal((await box.of(store).look()).isOurs(ORDER), false);
  rmSync(file('store', 'box.json'));
  equal(await box.of(store).meet(), 'new');
  writeFileSync(file('box', 'memory.json'), before);
  match((await box.problem())!, /not made with the key of this box/);
});

test('a memory that is damaged, or without its key, is no memory, and is not written over', async () => {
  const { store, boxAt, file } = place();
  const box = boxAt('box');
  await box.of(store).adopt([ORDER], {});
  const path = file('box', 'memory.json');
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 1;
    writeFileSync(path, bytes);
    const { problem, isOurs } = await box.of(store).look();
    match(problem!, /memory\.json cannot be used/);
    equal(isOurs(ORDER), false);
  }
  const damaged = readFileSync(path);
  await box.of(store).remember([OTHER]);
  equal(await box.of(store).meet(), 'unknown');
  equal(readFileSync(path).equals(damaged), true);
  await rejects(box.of(store).mark(), /cannot be used/);
  await box.of(store).adopt([OTHER], {});
  equal((await box.of(store).look()).isOurs(OTHER), true);
  equal(readFileSync(`${path}.damaged`).equals(damaged), true);
  rmSync(file('box', 'box.key'));
  match((await box.problem())!, /its key .*box\.key is gone/);
});

test('the key is a credential where there is one, else a file that only its owner may read', async () => {
  const { store, boxAt, file } = place();
  await boxAt('box').of(store).remember([ORDER]);
  equal(statSync(file('box', 'box.key')).mode & 0o777, 0o600);
  const key = readFileSync(file('box', 'box.key'));
  mkdirSync(file('credentials'));
  writeFileSync(file('credentials', 'holdfast-box-key'), key);
  rmSync(file('box', 'box.key'));
  equal((await boxAt('box').of(store).look()).isOurs(ORDER), true);
  writeFileSync(file('credentials', 'holdfast-box-key'), 'short');
  match((await boxAt('box').problem())!, /5 bytes, not 32/);
});

test('a box lies where the environment says, else in the state directory of its user', async () => {
  equal(boxDirectory({ HOLDFAST_STATE: '/a', XDG_STATE_HOME: '/b' }), '/a');
  equal(boxDirectory({ HOLDFAST_STATE: '', XDG_STATE_HOME: '/b' }), '/b/holdfast');
  equal(boxDirectory({ XDG_STATE_HOME: 'b' }).endsWith('/.local/state/holdfast'), true);
  equal(boxDirectory({}).endsWith('/.local/state/holdfast'), true);
});

test('what could not be read again is not remembered, and costs nothing that is', async () => {
  const { store, boxAt } = place();
  const box = boxAt('box');
  const set = { domain: '1'.repeat(32), encrypted: true };
  await box.of(store).rememberSet('nightly', set);
  // As an attacker may have written it into a store.
  const long = { ...store, record: { needs: { read: [], write: ['x'.repeat(300)] } } };
  await rejects(box.of(long).rememberSet('plain', set), /memory\.json is full/);
  const many = Array.from({ length: 10_001 }, (_, at) => ({ ...ORDER, name: `x${at}` }));
  await rejects(box.of(store).adopt(many, {}), /memory\.json is full.*at most 10000/);
  equal(await box.problem(), undefined);
  equal((await box.of(store).look()).set('nightly')?.encrypted, true);
});

test('what is adopted is remembered, or refused', async () => {
  const { store, boxAt, file } = place();
  const set = { domain: '1'.repeat(32), encrypted: true };
  const memory = boxAt('box').of(store);
  await memory.remember([ORDER]);
  await memory.adopt([{ ...OTHER, name: 'y' }], { seen: set });
  equal((await memory.look()).isOurs(ORDER), true, 'given while the list was read');
  await memory.adopt([], {});
  equal((await memory.look()).set('seen')?.encrypted, true, 'its record cannot be read now');
  mkdirSync(file('credentials'));
  writeFileSync(file('credentials', 'holdfast-box-key'), 'short');
  await rejects(memory.adopt([ORDER], {}), /5 bytes, not 32/);
});

test('a memory that cannot be read refuses no request', async () => {
  const { store, boxAt, file } = place();
  await boxAt('box').of(store).remember([ORDER]);
  mkdirSync(file('credentials'));
  writeFileSync(file('credentials', 'holdfast-box-key'), Buffer.alloc(100));
  const { problem, isOurs } = await boxAt('box').of(store).look();
  match(problem!, /100 bytes, at most 64/);
  equal(isOurs(ORDER), false);
});

test('a mark that no box would leave is that of another one', async () => {
  const { store, boxAt, file } = place();
  const path = file('store', 'box.json');
  for (const spoil of [() => writeFileSync(path, Buffer.alloc(100_000)), () => mkdirSync(path)]) {
    const memory = boxAt('box').of(store);
    rmSync(path, { force: true });
    await memory.adopt([ORDER], {});
    await memory.mark();
    rmSync(path);
    spoil();
    equal(await memory.meet(), 'returned');
    equal((await memory.look()).isOurs(ORDER), false);
  }
});
