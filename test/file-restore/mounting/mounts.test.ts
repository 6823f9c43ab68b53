import { deepEqual, equal, match, notEqual, ok, rejects } from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'tap';
import { findFiles, listDirectory } from '../../../src/file-restore/browse/browse.ts';
import { copyOut } from '../../../src/file-restore/browse/copy-out.ts';
import type { DiskFiles } from '../../../src/file-restore/volumes/disk-files.ts';
import {
  type OpenedVolumes,
  openVolumes,
} from '../../../src/file-restore/mounting/opened-volumes.ts';
import { isSuperuser } from '../../../src/sys/process/run.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import {
  cutInto,
  differences,
  diskFiles,
  makeBtrfs,
  makeDirty,
  makeDisk,
  makeExt,
  makeCrowdedExt,
  makeNtfs,
  makeTree,
  makeXfs,
  MANY_FILES,
  nameOfMany,
  namesBelow,
} from '../../support/guest-images.ts';
import { overwrite } from '../../support/images.ts';
import { without } from '../../support/programs.ts';
import { below, noise, seeded } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const skip =
  without(
    'sfdisk',
    'mkfs.xfs',
    'mkfs.btrfs',
    'mkfs.ntfs',
    'ntfs-3g',
    'rsync',
    'setfacl',
    'setfattr',
  ) ||
  (!isSuperuser() && 'only root may mount');
const directory = temporaryDirectory();
const tree = join(directory, 'tree');
const plain = join(directory, 'plain');
if (skip === false) {
  mkdirSync(tree);
  makeTree(tree);
  mkdirSync(plain);
  makeTree(plain, 'plain');
}
let count = 0;

interface Wanted {
  readonly wanted?: string;
  readonly others?: readonly DiskFiles[];
  readonly noFollow?: boolean;
}

async function open(
  disk: DiskFiles,
  { wanted, noFollow = false, others = [] }: Wanted = {},
): Promise<OpenedVolumes> {
  const place = join(directory, `open-${++count}`);
  const work = join(directory, `work-${count}`);
  mkdirSync(place);
  mkdirSync(work);
  return openVolumes([disk, ...others], {
    directory: place,
    work,
    isolated: false,
    noFollow,
    wanted,
    disk: others.length > 0 ? disk.disk : undefined,
    clock: systemClock(),
    keys: async () => undefined,
  });
}

/** What is mounted from files of this test, and its loop devices. */
function leftovers(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const loops = spawnSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], {
    encoding: 'utf8',
  });
  return [...mounts, ...loops.stdout.split('\n')].filter((line) => line.includes(directory));
}

function of({ mounted, failed }: OpenedVolumes, name: string): string {
  const found = mounted.find(({ volume }) => volume.name === name);
  ok(found, `${name} is not open: ${failed.map(({ reason }) => reason).join('; ')}`);
  return found.path;
}

test('every file system shows what the guest wrote, and all of it is copied out', {
  skip,
}, async () => {
  const parts = [
    await makeExt(join(directory, 'ext4'), { tree }),
    await makeExt(join(directory, 'ext2'), { tree, version: 'ext2' }),
    await makeExt(join(directory, 'ext3'), { tree, version: 'ext3' }),
    await makeXfs(join(directory, 'xfs'), tree),
    await makeBtrfs(join(directory, 'btrfs'), tree),
    await makeNtfs(join(directory, 'ntfs'), plain),
  ].map((file) => ({ file }));
  const disk = await makeDisk(join(directory, 'disk'), { label: 'gpt', parts });
  const sums = parts.map(({ file }) => spawnSync('sha256sum', [file], { encoding: 'utf8' }).stdout);
  {
    await using opened = await open(disk, { noFollow: true });
    deepEqual(opened.failed, []);
    deepEqual(
      opened.mounted.map(({ volume }) => volume.name),
      ['vda1', 'vda2', 'vda3', 'vda4', 'vda5', 'vda6'],
    );
    for (const name of ['vda1', 'vda2', 'vda3', 'vda4']) {
      const out = join(directory, `out-${name}`);
      const { lost } = await copyOut(of(opened, name), ['/'], out);
      deepEqual(lost, [], name);
      equal(await differences(tree, out, '--exclude=/lost+found'), '', name);
    }
    // The top is shown, not the default subvolume.
    const btrfs = join(directory, 'out-btrfs');
    await copyOut(of(opened, 'vda5'), ['/'], btrfs);
    equal(await differences(tree, btrfs, '--exclude=/sub', '--exclude=/default'), '');
    equal(readFileSync(join(btrfs, 'sub/inner'), 'utf8'), 'in the subvolume\n');
    const ntfs = join(directory, 'out-ntfs');
    await copyOut(of(opened, 'vda6'), ['/'], ntfs);
    equal(await differences(plain, ntfs, '--no-perms', '--no-X', '--no-A', '--omit-dir-times'), '');
    const stream = ['-n', 'user.zone', '--only-values', join(ntfs, 'etc/hostname')];
    equal(spawnSync('getfattr', stream, { encoding: 'utf8' }).stdout, '3', 'an alternate stream');
    const flags = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(join(directory, `open-${count}/`)));
    equal(flags.length, 6);
    for (const line of flags) match(line, /\sro,nosuid,nodev,noexec,.*nosymfollow/);
  }
  deepEqual(leftovers(), []);
  const after = parts.map(
    ({ file }) => spawnSync('sha256sum', [file], { encoding: 'utf8' }).stdout,
  );
  deepEqual(after, sums, 'the disks are as they were');
});

test('two states of one file system are open at once, each as it is', { skip }, async () => {
  for (const kind of ['xfs', 'btrfs']) {
    const other = join(directory, `${kind}-other`);
    copyFileSync(join(directory, kind), other);
    const mounted = `${other}.mounted`;
    mkdirSync(mounted);
    equal(
      spawnSync('mount', [
        '-t',
        kind,
        '-o',
        kind === 'btrfs' ? 'loop,subvolid=5' : 'loop',
        other,
        mounted,
      ]).status,
      0,
    );
    writeFileSync(join(mounted, 'etc/hostname'), 'later\n');
    equal(spawnSync('umount', [mounted]).status, 0);
    await using one = await open(diskFiles(join(directory, kind)));
    await using two = await open(diskFiles(other));
    equal(readFileSync(join(of(one, 'vda'), 'etc/hostname'), 'utf8'), 'guest\n', kind);
    equal(readFileSync(join(of(two, 'vda'), 'etc/hostname'), 'utf8'), 'later\n', kind);
  }
  deepEqual(leftovers(), []);
});

test(`a directory of ${MANY_FILES} files is listed, searched and copied`, { skip }, async () => {
  const many = join(directory, 'many');
  mkdirSync(many);
  const file = await makeCrowdedExt(join(directory, 'many.ext4'), many, MANY_FILES);
  await using opened = await open(diskFiles(file));
  const root = of(opened, 'vda');
  const seen = new Set<string>();
  for await (const { path } of listDirectory(root, 'dir')) seen.add(path);
  equal(seen.size, MANY_FILES);
  const found: string[] = [];
  for await (const { path } of findFiles(root, '', { name: '*00042' })) found.push(path);
  equal(found.includes(`dir/${nameOfMany(42)}`), true);
  const out = join(directory, 'out-many');
  await copyOut(root, ['dir'], out);
  equal(await differences(join(many, 'dir'), join(out, 'dir')), '');
});

test('a guest that lost its power is shown without replaying its journal', { skip }, async () => {
  const torn = await makeDirty(join(directory, 'dirty'), join(directory, 'ext4'));
  const before = readFileSync(torn);
  {
    await using opened = await open(diskFiles(torn));
    equal(readFileSync(join(of(opened, 'vda'), 'etc/hostname'), 'utf8'), 'guest\n');
  }
  equal(Buffer.compare(readFileSync(torn), before), 0, 'nothing was written to it');
});

test('it is unmounted under open files and under a shell that is in it', { skip }, async () => {
  const opened = await open(diskFiles(join(directory, 'ext4')));
  const ntfs = await open(diskFiles(join(directory, 'ntfs')));
  const held = [opened, ntfs].map((it) => openSync(join(of(it, 'vda'), 'etc/hostname'), 'r'));
  await opened[Symbol.asyncDispose]();
  await ntfs[Symbol.asyncDispose]();
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  equal(mounts.includes(directory), false);
  for (const fd of held) closeSync(fd);
  // The loop device goes with the last user.
  await until('the end of the loop device', () => leftovers().length === 0);
});

test('damaged and hostile volumes are refused or read as far as they go, and nothing hangs', {
  skip,
}, async (t) => {
  // No VM, which is tried after the kernel: test/interop/appliance.test.ts has one.
  const bare = join(directory, 'no-vm');
  mkdirSync(bare);
  writeFileSync(join(bare, 'guestfish'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const { PATH: before } = process.env;
  process.env['PATH'] = `${bare}:${before}`;
  t.teardown(() => (process.env['PATH'] = before));
  const cut = join(directory, 'cut');
  copyFileSync(join(directory, 'ext4'), cut);
  truncateSync(cut, 20 * 2 ** 20);
  await rejects(open(diskFiles(cut), { wanted: 'vda' }), {
    code: 'UNREADABLE',
    message: /vda \(ext4\)/,
  });
  {
    // Where not one volume is wanted, the others are there.
    const disk = await makeDisk(join(directory, 'half'), {
      label: 'dos',
      parts: [{ file: cut }, { file: join(directory, 'ext2') }],
    });
    await using opened = await open(disk);
    deepEqual(
      opened.mounted.map(({ volume }) => volume.name),
      ['vda2'],
    );
    deepEqual(
      opened.failed.map(({ volume }) => volume.name),
      ['vda1'],
    );
  }
  await rejects(open(diskFiles(join(directory, 'ext4')), { wanted: 'vdb' }), { code: 'NOT_FOUND' });
  const rounds = process.env['SEEDS'] === '1' ? 4 : 24;
  for (let seed = 0; seed < rounds; seed++) {
    const random = seeded(seed);
    const kind = ['ext4', 'xfs', 'btrfs', 'ntfs'][seed % 4]!;
    const path = join(directory, 'hostile');
    copyFileSync(join(directory, kind), path);
    // Bytes anywhere among the metadata, not in the marks that say what it is.
    for (let at = 0; at < 40; at++) {
      const place = 128 * 1024 + below(random, 12 * 2 ** 20);
      overwrite(path, noise(1 + below(random, 600), seed * 100 + at), place);
    }
    try {
      await using opened = await open(diskFiles(path), { wanted: 'vda' });
      for await (const entry of findFiles(of(opened, 'vda'), '', { name: undefined }))
        notEqual(entry.path, '');
    } catch (cause) {
      equal((cause as Error).name, 'GranularError', `seed ${seed}: ${String(cause)}`);
      match((cause as { code: string }).code, /UNREADABLE|UNSUPPORTED|TIMEOUT/, String(cause));
    }
  }
  deepEqual(leftovers(), []);
});

test('a machine of many disks: only the one that is asked for is looked at, if nothing spans them', {
  skip,
}, async () => {
  const others: DiskFiles[] = [];
  for (let at = 0; at < 255; at++) {
    const never = (): never => {
      throw new Error(`disk ${at} was looked at`);
    };
    others.push({
      disk: `x${at}`,
      get path() {
        return never();
      },
      partition: never,
    });
  }
  await using opened = await open(diskFiles(join(directory, 'ext2')), { others });
  deepEqual(
    opened.mounted.map(({ volume }) => volume.name),
    ['vda'],
  );
});

test('a disk with nothing to open says what it is', { skip }, async () => {
  const blank = join(directory, 'blank');
  writeFileSync(blank, noise(2 ** 20, 4));
  await using opened = await open(diskFiles(blank));
  deepEqual(opened.mounted, []);
  match(opened.failed[0]!.reason, /nothing that is recognised/);
  await rejects(open(diskFiles(blank), { wanted: 'vda' }), { code: 'UNSUPPORTED' });
  ok(namesBelow(join(directory, `open-${count}`)).length === 0, 'no directory is left');
  const disk = await cutInto(join(directory, 'disk'), 1);
  await using first = await open(disk, { wanted: 'vda1' });
  equal(first.mounted.length, 1);
});
