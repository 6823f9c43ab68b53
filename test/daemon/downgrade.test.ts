import { deepEqual, equal, match } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { alterSet, withoutSlots } from '../support/planted.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A3: an attacker with write access to the store says that an encrypted set is not.

const image = join(temporaryDirectory(), 'disk.raw');
makeRawDisk(image, 8 * 2 ** 20, 50);
const BOTH = ['set.json', 'set.copy.json'];

const takeSlots = (store: string, names: readonly string[]): (() => void) =>
  alterSet(store, 'nightly', withoutSlots, names);

test('a set that has lost its slots takes no backup from who gives a passphrase', async () => {
  const { holdfast, store, backUp } = await holdfastIn(temporaryDirectory());
  const made = await expectDone(backUp('vm', [`vda=${image}`]));
  const point = made.result['point'] as string;
  const undo = takeSlots(store, BOTH);
  const all = async (code: number, why: RegExp): Promise<void> => {
    for (const refused of [
      await backUp('vm', [`vda=${image}`]),
      await holdfast('restore', 'disk', point, 'vda', '--to', join(store, '..', 'out.raw')),
      await holdfast('recover', point),
    ]) {
      equal(refused.code, code, refused.stderr);
      match(refused.stderr, why);
    }
  };
  await all(6, /was encrypted when this box last used it/);
  // Another box has never met the set: the key that was given is all it can go by.
  process.env['HOLDFAST_STATE'] = temporaryDirectory();
  await all(4, /claims not to be encrypted/);
  undo();
  const { result } = await expectDone(holdfast('backup', 'list'));
  equal((result['points'] as unknown[]).length, 1);
  await expectDone(backUp('vm', [`vda=${image}`]));
});

test('one altered copy of a set record is not believed, and nothing is written over the good one', async () => {
  const { holdfast, store, backUp } = await holdfastIn(temporaryDirectory());
  for (const [altered, good] of [BOTH, BOTH.toReversed()] as [string, string][]) {
    const path = join(store, 'sets', 'nightly', good);
    const bytes = readFileSync(path);
    const undo = takeSlots(store, [altered]);
    const refused = await backUp('vm', [`vda=${image}`]);
    equal(refused.code, 6, refused.stderr);
    match(refused.stderr, /set\.json and .*set\.copy\.json differ/);
    const checked = await holdfast('store', 'check');
    equal(checked.code, 6, checked.stdout);
    deepEqual(readFileSync(path), bytes);
    undo();
  }
});

test('the service writes nothing in plain text where its settings name a passphrase for the set', async () => {
  const home = serviceHome(temporaryDirectory());
  await using service = await serviceWith(home, image);
  const { holdfast, store, passphrase } = home;
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  const undo = takeSlots(store, BOTH);
  for (const secret of [[], ['--passphrase-file', passphrase]]) {
    const refused = await holdfast('backup', 'create', 'nightly', ...disk, ...secret);
    equal(refused.code, 6, refused.stderr);
    match(refused.stderr, /was encrypted when this box last used it/);
  }
  undo();
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  // A set that never was encrypted needs no passphrase, and the credential of others is not held against it.
  await expectDone(holdfast('set', 'create', 'plain'));
  await expectDone(holdfast('backup', 'create', 'plain', ...disk));
  const secret = ['--passphrase-file', passphrase];
  equal((await holdfast('backup', 'create', 'plain', ...disk, ...secret)).code, 4);
  await service.stop('SIGTERM');
});
