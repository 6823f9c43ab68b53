import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Disks are written onto real devices: no command writes to those in use.
const root = temporaryDirectory();
const MiB = 2 ** 20;
const SIZE = 24 * MiB;

function attach(t: Scope, name: string, ...more: string[]): string | undefined {
  const file = join(root, name);
  writeFileSync(file, '');
  truncateSync(file, 2 * SIZE);
  const made = spawnSync('losetup', ['--find', '--show', ...more, file], { encoding: 'utf8' });
  if (made.status !== 0) return undefined;
  const device = made.stdout.trim();
  t.after(() => void spawnSync('losetup', ['--detach', device]));
  return device;
}

interface Scope {
  after(then: () => void): void;
}

// F8
test('a disk is restored onto a device', {
  skip: without('mkfs.ext4', 'losetup', 'wipefs'),
}, async (t) => {
  const device = attach(t, 'device');
  if (device === undefined) return t.comment('no loop devices here');
  const { holdfast, backUp } = await holdfastIn(root);
  const image = join(root, 'disk.raw');
  makeRawDisk(image, SIZE);
  await expectDone(backUp('vm', [`vda=${image}`]));
  const restore = (...more: string[]) =>
    holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', device, ...more);
  await expectDone(restore());
  deepEqual(readFileSync(device).subarray(0, SIZE), readFileSync(image));

  await program('mkfs.ext4', '-q', device);
  const place = join(root, 'mounted');
  mkdirSync(place);
  await program('mount', device, place);
  writeFileSync(join(place, 'precious'), 'of another');
  for (const more of [[], ['--overwrite'], ['--erase', basename(device)]]) {
    const used = await restore(...more);
    equal(used.code, 3, used.stderr);
    match(used.stderr, /is in use.*Nothing was written/s);
  }
  equal(readFileSync(join(place, 'precious'), 'utf8'), 'of another');
  await program('umount', place);
  await program('fsck.ext4', '-n', device);

  const full = await restore('--overwrite');
  equal(full.code, 1);
  match(full.stderr, new RegExp(`not empty: ext4.*--erase ${basename(device)}`, 's'));
  await program('fsck.ext4', '-n', device);
  await expectDone(restore('--erase', basename(device)));
  deepEqual(readFileSync(device).subarray(0, SIZE), readFileSync(image));
  ok(readdirSync(root).every((it) => !it.endsWith('.part')));
});

// F3
test('sectors of 4096 bytes reach the guest, also of a session that was kept', async (t) => {
  const home = join(root, 'sectors');
  mkdirSync(home);
  const { start, holdfast, backUp } = await holdfastIn(home);
  const table = join(home, 'table.raw');
  const contents = Buffer.alloc(MiB);
  contents.write('EFI PART', 4096, 'latin1');
  writeFileSync(table, contents);
  // Has no table: its own sectors count.
  const device = attach(t, 'large-sectors', '--sector-size', '4096');
  const disks = [`vda=${table}`, ...(device === undefined ? [] : [`vdb=${device}`])];
  await expectDone(backUp('vm', disks));
  const isSeen = async (point: string): Promise<string> => {
    const session = await start('recover', point);
    const shown = await expectDone(holdfast('session', 'show', session.ready.session));
    const { qemu } = shown.result['attach'] as { qemu: string };
    equal(qemu.match(/logical_block_size=4096/g)?.length, disks.length, point);
    const { ready } = session as unknown as { ready: { exports: { sectorSize?: number }[] } };
    deepEqual(
      ready.exports.map(({ sectorSize }) => sectorSize),
      disks.map(() => 4096),
    );
    await session.stop('SIGINT');
    return session.ready.session;
  };
  const kept = await expectDone(holdfast('session', 'keep', await isSeen('vm@latest')));
  await isSeen(kept.result['point'] as string);
});

// F29
test('a recovery from a store that is read-only says so', async (t) => {
  const home = join(root, 'read-only');
  mkdirSync(home);
  const { store, passphrase, backUp } = await holdfastIn(home);
  const image = join(home, 'disk.raw');
  makeRawDisk(image, SIZE);
  await expectDone(backUp('vm', [`vda=${image}`]));
  const seen = join(home, 'seen');
  mkdirSync(seen);
  if (spawnSync('mount', ['--bind', store, seen]).status !== 0) return t.comment('no mounts here');
  t.after(() => void spawnSync('umount', [seen]));
  await program('mount', '-o', 'remount,bind,ro', seen);
  const refused = await runCli([
    'recover',
    'vm@latest',
    '--store',
    seen,
    '--passphrase-file',
    passphrase,
  ]);
  equal(refused.code, 8);
  match(refused.stderr, /read-only/);
});
