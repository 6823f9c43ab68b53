import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { makeRawDisk, overwrite, sameFiles } from '../support/images.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// What a changed-block list is counted from, and what happens where that is not known.
const root = temporaryDirectory();
const MiB = 2 ** 20;
const image = join(root, 'disk.raw');

test('an increment holds all that changed, whatever was forgotten, or says why it reads everything', async (t) => {
  const { holdfast, backUp, store } = await holdfastIn(root);
  makeRawDisk(image);
  let salt = 10;
  /** Changes a segment, and backs up with a list of that alone. */
  const increment = (segment: number, since?: string) => {
    overwrite(image, noise(5000, salt++), segment * MiB);
    const list = join(root, 'changed.json');
    const ranges = [{ offset: segment * MiB, length: 5000 }];
    writeFileSync(list, JSON.stringify(since === undefined ? ranges : { since, disks: ranges }));
    return backUp('vm', [`vda=${image}`], '--changed', list);
  };
  const isWhole = async (point: unknown) => {
    const out = join(root, 'out.raw');
    const to = ['--to', out, '--overwrite'];
    await expectDone(holdfast('restore', 'disk', point as string, 'vda', ...to));
    ok(sameFiles(image, out));
  };
  const forget = (point: unknown) => expectDone(holdfast('backup', 'forget', point as string));
  const first = await expectDone(backUp('vm', [`vda=${image}`]));

  await t.test('counted from the newest, it reads only what changed', async () => {
    const made = await expectDone(increment(3));
    equal(made.result['readBytes'], MiB);
    const [scope] = made.result['scopes'] as { scope: string }[];
    equal(scope?.scope, 'changes');
  });

  await t.test('a list of another disk is refused, and nothing is read', async () => {
    const list = join(root, 'other.json');
    writeFileSync(list, JSON.stringify([{ offset: 30 * MiB, length: 4096 }]));
    const refused = await backUp('vm', [`vda=${image}`], '--changed', list);
    equal(refused.code, 2);
    match(refused.stderr, /entry 1 .* beyond the end of disk vda \(25165824 bytes\)/);
  });

  await t.test('the newest was forgotten: everything is read, and it says so', async () => {
    const gone = (await expectDone(increment(4))).result['point'] as string;
    await forget(gone);
    const made = await expectDone(increment(7));
    const reason = `${gone}, from which the changes are counted, was forgotten`;
    deepEqual(made.result['scopes'], [{ disk: 'vda', scope: 'all', reason }]);
    const notices = made.lines.filter(({ event }) => event === 'notice');
    match(JSON.stringify(notices), new RegExp(`24.0 MiB will be read, because ${gone}`));
    await isWhole(made.result['point']);
    const next = await expectDone(increment(8));
    equal(next.result['readBytes'], MiB, 'once');
  });

  await t.test('counted from one that is named, it is built on that one', async () => {
    const base = (await expectDone(increment(9))).result['point'] as string;
    // What is newer says nothing of the list.
    const other = join(root, 'other.raw');
    makeRawDisk(other, 24 * MiB, 99);
    const between = await expectDone(backUp('vm', [`vda=${other}`]));
    const made = await expectDone(increment(10, base));
    equal(made.result['parent'], base);
    equal(made.result['readBytes'], MiB);
    await isWhole(made.result['point']);
    await forget(between.result['point']);
    await forget(base);
    const late = await expectDone(increment(11, base));
    match(JSON.stringify(late.result['scopes']), /"all".*no longer exists/);
    await expectDone(backUp('vm2', [`vda=${other}`]));
    const stranger = await expectDone(holdfast('backup', 'show', 'vm2@latest'));
    const refused = await increment(12, stranger.result['point'] as string);
    equal(refused.code, 2);
    match(refused.stderr, /is a recovery point of vm2/);
  });

  await t.test(
    'a record is damaged that may be the newest: it is refused until that is forgotten',
    async () => {
      const newest = (await expectDone(backUp('vm', [`vda=${image}`]))).result['point'] as string;
      const fd = openSync(join(store, 'sets/nightly/points', `${newest}.point`), 'r+');
      writeSync(fd, 'rot', 20);
      closeSync(fd);
      const refused = await increment(13);
      equal(refused.code, 6);
      match(refused.stderr, /changes may be counted from it: forget it/);
      const named = await expectDone(increment(14, first.result['point'] as string));
      equal(named.result['readBytes'], MiB);
      await forget(newest);
      const made = await expectDone(backUp('vm', [`vda=${image}`]));
      await isWhole(made.result['point']);
      equal((await expectDone(increment(15))).result['readBytes'], MiB);
    },
  );
});
