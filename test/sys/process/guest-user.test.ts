import { equal, ok, throws } from 'node:assert/strict';
import { existsSync, lstatSync, symlinkSync, writeFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { giveTo } from '../../../src/sys/process/guest-user.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const OTHER = { id: 65_530, groups: [] };
const isRoot = process.getuid!() === 0;

test('a link is given away itself, never the file of the host that it points to', {
  skip: isRoot ? false : 'only root gives files away',
}, async () => {
  const root = temporaryDirectory();
  const target = join(root, 'of-the-host');
  writeFileSync(target, 'secret');
  const link = join(root, 'kvm-test');
  symlinkSync(target, link);
  giveTo(OTHER, link);
  equal(statSync(target).uid, 0, 'the target stays');
  equal(lstatSync(link).uid, OTHER.id);
});

test('a link without a target is not followed either; what is not there is an error', async () => {
  const root = temporaryDirectory();
  const link = join(root, 'variables.fd');
  symlinkSync(join(root, 'nothing'), link);
  const user = { id: process.getuid!(), groups: [] };
  // The IDs of a user and its group are often the same, not always.
  if (process.getgid!() === user.id) giveTo(user, link);
  ok(!existsSync(join(root, 'nothing')));
  throws(() => giveTo(user, join(root, 'gone')), /give .*gone to user/);
});
