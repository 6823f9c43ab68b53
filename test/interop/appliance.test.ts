import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'tap';
import { copyOut } from '../../src/file-restore/browse/copy-out.ts';
import { findFiles } from '../../src/file-restore/browse/browse.ts';
import type { DiskFiles } from '../../src/file-restore/volumes/disk-files.ts';
import { type OpenedVolumes, openVolumes } from '../../src/file-restore/mounting/opened-volumes.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { isSuperuser } from '../../src/sys/process/run.ts';
import {
  differences,
  KEY,
  makeBtrfs,
  makeDirty,
  makeDisk,
  makeExt,
  makeFat,
  makeLayered,
  makeNtfs,
  makeTree,
  makeXfs,
} from '../support/guest-images.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Each VM takes some ten seconds where there is no KVM: few tests, much in each.

const skip =
  without('guestfish', 'cryptsetup', 'sfdisk', 'rsync', 'mcopy') ||
  (!isSuperuser() && 'only root may mount');
const directory = temporaryDirectory();
const tree = join(directory, 'tree');
const plain = join(directory, 'plain');
if (skip === false) {
  for (const path of [tree, plain]) mkdirSync(path);
  makeTree(tree);
  makeTree(plain, 'plain');
}
let count = 0;

interface Wanted {
  readonly key?: string;
  readonly wanted?: string;
  readonly isolated?: boolean;
}

async function open(
  disk: DiskFiles,
  { key, wanted, isolated = false }: Wanted,
): Promise<OpenedVolumes> {
  const place = join(directory, `open-${++count}`);
  const work = join(directory, `work-${count}`);
  for (const path of [place, work]) mkdirSync(path);
  return openVolumes([disk], {
    directory: place,
    work,
    isolated,
    noFollow: true,
    wanted,
    disk: undefined,
    clock: systemClock(),
    keys: async () => (key === undefined ? undefined : Buffer.from(key)),
  });
}

function of(opened: OpenedVolumes, name: string): string {
  return opened.mounted.find(({ volume }) => volume.name === name)!.path;
}

function leftovers(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const running = spawnSync('pgrep', ['-af', 'guestfish|qemu'], { encoding: 'utf8' });
  return [...mounts, ...running.stdout.split('\n')].filter((line) => line.includes(directory));
}

test('logical volumes and a locked volume are opened in a VM, with the key only', {
  skip,
}, async () => {
  const tar = join(directory, 'tree.tar');
  await program(
    'tar',
    '--xattrs',
    '--acls',
    '--sparse',
    '--format=posix',
    '-cf',
    tar,
    '-C',
    tree,
    '.',
  );
  const disk = await makeLayered(join(directory, 'layered'), {
    tar,
    xfs: await makeXfs(join(directory, 'xfs'), tree),
  });
  {
    await using opened = await open(disk, { key: KEY });
    deepEqual(
      opened.volumes.map(({ name, found, disk, driver }) => [name, found, disk, driver.kind]),
      [
        ['vda1', 'LVM2_member', 'vda', 'container'],
        ['vda2', 'ext4 in crypto_LUKS 2', 'vda', 'guestfs'],
        ['vg-one-data', 'xfs', 'vda', 'guestfs'],
        ['vg-one-root', 'ext4', 'vda', 'guestfs'],
        ['vg-one-swap', 'swap', 'vda', 'none'],
      ],
    );
    deepEqual(
      opened.mounted.map(({ volume }) => volume.name),
      ['vda2', 'vg-one-data', 'vg-one-root'],
    );
    for (const name of ['vda2', 'vg-one-data', 'vg-one-root']) {
      const out = join(directory, `out-${name}`);
      await copyOut(of(opened, name), ['/'], out);
      // tar-in without options takes no attributes along.
      const more = name === 'vda2' ? ['--no-X', '--no-A'] : [];
      equal(await differences(tree, out, '--exclude=/lost+found', ...more), '', name);
    }
    const flags = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    match(
      flags.find((line) => line.includes('vg-one-root '))!,
      /\sro,nosuid,nodev,noexec,.*nosymfollow/,
    );
  }
  deepEqual(leftovers(), []);
  await rejects(open(disk, { key: 'not this one' }), {
    code: 'WRONG_KEY',
    message: /wrong key for vda2/,
  });
  await rejects(open(disk, { wanted: 'vda2' }), { code: 'LOCKED', message: /needs its key/ });
  deepEqual(leftovers(), []);
});

test('isolated, every file system is read by a VM, and a journal is replayed there', {
  skip,
}, async () => {
  const ext4 = await makeExt(join(directory, 'ext4'), { tree });
  const torn = await makeDirty(join(directory, 'dirty'), ext4);
  const parts = [
    ext4,
    await makeFat(join(directory, 'fat'), plain),
    await makeNtfs(join(directory, 'ntfs'), plain),
    await makeBtrfs(join(directory, 'btrfs'), tree),
    torn,
  ].map((file) => ({ file }));
  const disk = await makeDisk(join(directory, 'disk'), { label: 'gpt', parts });
  const before = spawnSync('sha256sum', [disk.path], { encoding: 'utf8' }).stdout;
  {
    await using opened = await open(disk, { isolated: true });
    deepEqual(opened.failed, []);
    equal(opened.mounted.length, 5);
    const out = (name: string): string => join(directory, `isolated-${name}`);
    for (const { volume, path } of opened.mounted) await copyOut(path, ['/'], out(volume.name));
    equal(await differences(tree, out('vda1'), '--exclude=/lost+found'), '');
    const loose = [
      '--no-perms',
      '--no-X',
      '--no-A',
      '--omit-dir-times',
      '--no-owner',
      '--no-group',
    ];
    equal(await differences(plain, out('vda2'), ...loose), '');
    equal(await differences(plain, out('vda3'), ...loose), '');
    equal(await differences(tree, out('vda4'), '--exclude=/sub', '--exclude=/default'), '');
    equal(readFileSync(join(out('vda5'), 'late'), 'utf8'), 'written just before\n');
    let links = 0;
    for await (const { kind } of findFiles(of(opened, 'vda1'), '', { name: undefined }))
      links += kind === 'link' ? 1 : 0;
    equal(links, 5);
  }
  deepEqual(leftovers(), []);
  equal(
    spawnSync('sha256sum', [disk.path], { encoding: 'utf8' }).stdout,
    before,
    'the disk is as it was',
  );
});

test('a VM that cannot start says why and leaves nothing', { skip }, async () => {
  const nothing: DiskFiles = { disk: 'vda', path: join(directory, 'nothing'), partition: () => '' };
  {
    await using opened = await open(nothing, { isolated: true });
    match(opened.failed[0]!.reason, /no disk/);
  }
  const bare = join(directory, 'bin');
  mkdirSync(bare);
  writeFileSync(
    join(bare, 'guestfish'),
    '#!/bin/sh\necho "libguestfs: error: no such luck" >&2\nexit 1\n',
    { mode: 0o755 },
  );
  const { PATH: path } = process.env;
  try {
    process.env['PATH'] = `${bare}:${path}`;
    const one = { disk: 'vda', path: join(directory, 'ext4'), partition: () => '' };
    await rejects(open(one, { isolated: true, wanted: 'vda' }), {
      code: 'FAILED',
      message: /no such luck/,
    });
  } finally {
    process.env['PATH'] = path;
  }
  deepEqual(readdirSync(join(directory, `work-${count}`)), []);
  deepEqual(leftovers(), []);
});
