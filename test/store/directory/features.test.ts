import { deepEqual, equal, match, ok, rejects, throws } from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { ALL_FEATURES, NEW_STORE_FEATURES } from '../../../src/formats/store/base/features.ts';
import { encodeSummed } from '../../../src/formats/store/base/json-record.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import { createStore, openStore } from '../../../src/store/directory/store.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { expectDone, holdfastIn, runCli } from '../../support/cli.ts';
import { makeRawDisk, sameFiles } from '../../support/images.ts';
import { oldRelease } from '../../support/old-release.ts';
import { STORE_1, storeOfRelease1 } from '../../support/store-1.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const COPIES = ['holdfast-store.json', 'holdfast-store.copy.json'];
const world = realWorld();
const old = oldRelease();

/** Every file of a directory: its bytes and when it was changed. */
function contentsOf(directory: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    const path = join(directory, name);
    const status = statSync(path);
    const bytes = status.isFile() ? readFileSync(path).toString('latin1') : '';
    found.set(name, `${status.mtimeMs} ${bytes}`);
  }
  return found;
}

/** As a later release would, in both copies. */
function addFeature(directory: string, whose: 'read' | 'write', feature: string): void {
  for (const name of COPIES) {
    const path = join(directory, name);
    const { sum: _, ...record } = JSON.parse(readFileSync(path, 'utf8')) as {
      sum: string;
      needs: Record<string, string[]>;
    };
    record.needs[whose]!.push(feature);
    writeFileSync(path, encodeSummed(record));
  }
}

test('a new store has every feature of this release, and each is described', async () => {
  const directory = join(temporaryDirectory(), 'store');
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  equal(store.record.version, 2);
  for (const feature of NEW_STORE_FEATURES) ok(store.has(feature), feature);
  const page = readFileSync(
    new URL('../../../src/formats/store/base/features.md', import.meta.url),
    'utf8',
  );
  for (const feature of ALL_FEATURES) ok(page.includes(`| \`${feature}\` `), feature);
});

test('a store of the release of 22 November keeps its version, whatever is done in it', async () => {
  const store = storeOfRelease1();
  const passphrase = join(store, '..', 'passphrase');
  writeFileSync(passphrase, STORE_1.passphrase);
  const holdfast = (...args: string[]) =>
    runCli([...args, '--store', store, '--passphrase-file', passphrase, '--json']);
  const image = join(store, '..', 'disk.raw');
  makeRawDisk(image, 8 * 2 ** 20, 50);
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  await expectDone(holdfast('store', 'check', '--read-data'));
  const { version, needs } = JSON.parse(readFileSync(join(store, COPIES[0]!), 'utf8')) as Record<
    string,
    unknown
  >;
  deepEqual({ version, needs }, { version: 1, needs: undefined });
  if (!old) return;
  const listed = old('backup', 'list', '--store', store, '--json');
  equal((JSON.parse(listed.stdout) as { points: [] }).points.length, 4, 'the way back is open');
  const checked = old('store', 'check', '--store', store, '--passphrase-file', passphrase);
  equal(checked.code, 0, checked.stdout + checked.stderr);
});

test('who lacks a feature of writers reads, checks, restores and recovers; the rest is refused by name', async () => {
  const it = await holdfastIn(temporaryDirectory());
  const { holdfast, store, backUp } = it;
  const image = join(store, '..', 'disk.raw');
  makeRawDisk(image, 8 * 2 ** 20, 50);
  const made = await expectDone(backUp('vm', [`vda=${image}`]));
  const point = made.result['point'] as string;
  addFeature(store, 'write', 'later-thing');
  const before = contentsOf(store);
  for (const refused of [
    await backUp('vm', [`vda=${image}`]),
    await holdfast('backup', 'forget', point),
    await holdfast('set', 'create', 'other', '--encrypt'),
    await holdfast('store', 'rebuild-index'),
  ]) {
    equal(refused.code, 1, refused.stdout);
    match(refused.stderr, /feature "later-thing".*can be read and recovered, not changed/);
  }
  deepEqual(contentsOf(store), before);
  await expectDone(holdfast('backup', 'list'));
  await expectDone(holdfast('store', 'check', '--read-data'));
  const out = join(store, '..', 'out.raw');
  await expectDone(holdfast('restore', 'disk', point, 'vda', '--to', out));
  ok(sameFiles(image, out));
  await using session = await it.start('recover', point);
  equal(await session.stop('SIGTERM'), 0);
  const refused = await holdfast('session', 'keep', session.ready.session);
  match(refused.stderr, /feature "later-thing"/);
  await expectDone(holdfast('session', 'discard', session.ready.session));
});

test('who lacks a feature of readers refuses the store by its name, whichever copy is there', async () => {
  const directory = join(temporaryDirectory(), 'store');
  await createStore(world, directory);
  addFeature(directory, 'read', 'later-thing');
  const refused = { code: 'UNSUPPORTED', message: /feature "later-thing".*cannot be read/ };
  await rejects(openStore(world, directory), refused);
  unlinkSync(join(directory, COPIES[0]!));
  await rejects(openStore(world, directory), refused);
});

test('a process that has the store open sees with its next change what another one has upgraded', async () => {
  const directory = join(temporaryDirectory(), 'store');
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  addFeature(directory, 'write', 'later-thing');
  await rejects(lockStore(store, 'test'), { code: 'UNSUPPORTED' });
  throws(() => store.checkWritable(), { code: 'UNSUPPORTED' });
  const again = JSON.parse(readFileSync(join(directory, COPIES[1]!), 'utf8')) as { needs: object };
  deepEqual(again.needs, {
    read: [...store.record.needs.read],
    write: [...store.record.needs.write],
  });
});

test('of two copies that an interrupted upgrade left the newer one counts', async () => {
  const directory = storeOfRelease1();
  const path = (at: number): string => join(directory, COPIES[at]!);
  await using old = await openStore(world, directory);
  await (await lockStore(old, 'test'))[Symbol.asyncDispose]();
  const { id, created } = old.record;
  const newer = {
    format: 'holdfast-store',
    version: 2,
    id,
    created,
    needs: { read: [], write: [] },
  };
  writeFileSync(path(0), encodeSummed(newer));
  await using store = await openStore(world, directory);
  equal(store.record.version, 2);
  await (await lockStore(store, 'test'))[Symbol.asyncDispose]();
  deepEqual(readFileSync(path(1)), readFileSync(path(0)));
});

test('a record of version 2 has a checksum and says what it needs, or is damaged', async () => {
  const directory = join(temporaryDirectory(), 'store');
  await createStore(world, directory);
  const whole = JSON.parse(readFileSync(join(directory, COPIES[0]!), 'utf8')) as { sum: string };
  const { sum: _, ...bare } = whole;
  const lacking = { ...bare, needs: undefined };
  for (const bytes of [JSON.stringify(bare), encodeSummed(lacking)]) {
    for (const name of COPIES) writeFileSync(join(directory, name), bytes);
    await rejects(openStore(world, directory), { code: 'CORRUPT' });
  }
});

test('the release of 22 November refuses a store of this one by its version, and writes nothing', {
  skip: old ? false : 'a shallow clone: that release is not there',
}, async () => {
  const { store, backUp, passphrase } = await holdfastIn(temporaryDirectory());
  const image = join(store, '..', 'disk.raw');
  makeRawDisk(image, 8 * 2 ** 20, 50);
  await expectDone(backUp('vm', [`vda=${image}`]));
  const before = contentsOf(store);
  for (const args of [
    ['backup', 'list'],
    ['backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`],
    ['store', 'rebuild-index'],
    ['store', 'check'],
    ['recover', 'vm@latest'],
  ]) {
    const refused = old!(...args, '--store', store, '--passphrase-file', passphrase);
    equal(refused.code, 1, args.join(' '));
    match(refused.stderr, /version 2, this release reads 1/);
  }
  deepEqual(contentsOf(store), before);
});
