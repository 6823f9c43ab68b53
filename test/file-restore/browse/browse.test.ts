import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'tap';
import { type Entry, findFiles, listDirectory } from '../../../src/file-restore/browse/browse.ts';
import { archive, copyOut, judge } from '../../../src/file-restore/browse/copy-out.ts';
import type { GranularError } from '../../../src/file-restore/base/file-restore-error.ts';
import { findInside, namesOf } from '../../../src/file-restore/base/paths.ts';
import { isSuperuser } from '../../../src/sys/process/run.ts';
import { differences, LONG_NAME, makeTree, namesBelow } from '../../support/guest-images.ts';
import { program, without } from '../../support/programs.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// Here the volume is a directory of this host: mounts.test.ts does the same with real ones.

const skip = without('find', 'rsync', 'tar', 'bsdtar', 'unzip', 'setfacl', 'setfattr', 'prlimit');
const directory = temporaryDirectory();
const root = join(directory, 'volume');
mkdirSync(root);
if (skip === false) makeTree(root);
const to = (name: string): string => join(directory, 'out', name);
mkdirSync(join(directory, 'out'));

async function all(entries: AsyncIterable<Entry>): Promise<Entry[]> {
  const list: Entry[] = [];
  for await (const entry of entries) list.push(entry);
  return list.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

test('a list has names, kinds, sizes, owners, times and targets of every file', {
  skip,
}, async () => {
  const top = await all(listDirectory(root, '/'));
  deepEqual(
    top.map(({ path, kind }) => [path, kind]),
    [
      ['etc', 'directory'],
      ['home', 'directory'],
      ['sparse', 'file'],
    ],
  );
  const home = await all(listDirectory(root, 'home/'));
  deepEqual(
    home.map(({ path }) => path),
    readdirSync(join(root, 'home'))
      .map((name) => `home/${name}`)
      .toSorted(),
  );
  const link = home.find(({ path }) => path === 'home/relative');
  deepEqual([link?.kind, link?.target], ['link', '../etc/deep']);
  const owned = home.find(({ path }) => path === 'home/-rf');
  deepEqual(
    [owned?.uid, owned?.gid, owned?.modified, owned?.size],
    [1234, 5678, 1_700_000_000_000, 4],
  );
  const [tool] = await all(listDirectory(root, 'etc/tool'));
  deepEqual([tool?.path, tool?.mode], ['etc/tool', 0o6755]);
});

test('a search goes through everything and knows shell patterns', { skip }, async () => {
  const names = (await all(findFiles(root, '', { name: undefined }))).map(({ path }) => path);
  deepEqual(names, namesBelow(root));
  const texts = await all(findFiles(root, '/home', { name: '*.t?t' }));
  deepEqual(
    texts.map(({ path }) => path),
    ['home/übung/a b  c.txt', `home/übung/${LONG_NAME}`].toSorted(),
  );
  deepEqual(await all(findFiles(root, '/', { name: 'no such name' })), []);
});

test('links lead to places in the volume, never to places of this host', { skip }, async () => {
  const lead = async (path: string): Promise<string> =>
    (await findInside(root, path, { follow: true })).path;
  equal(await lead('/home/absolute'), 'etc/hostname');
  equal(await lead('home/relative/er/file'), 'etc/deep/er/file');
  equal(await lead('home/upwards/hostname'), 'etc/hostname');
  equal((await findInside(root, 'home/absolute', { follow: false })).kind, 'link');
  await rejects(lead('home/circle/x'), { code: 'BAD_PATH' });
  // There is an /etc/passwd on this host.
  await rejects(lead('home/upwards/passwd'), { code: 'NOT_FOUND' });
  await rejects(lead('home/nowhere'), { code: 'NOT_FOUND' });
  await rejects(lead('etc/hostname/x'), { code: 'NOT_FOUND' });
  for (const bad of ['..', '/etc/../..', 'a\0b', 'x/'.repeat(3000)]) {
    try {
      namesOf(bad);
      ok(false, bad);
    } catch (cause) {
      equal((cause as GranularError).code, 'BAD_PATH');
    }
  }
});

test('files and directories are copied with all that belongs to them', { skip }, async () => {
  const seen: number[] = [];
  const onProgress = ({ position }: { position: number }): void => void seen.push(position);
  await copyOut(root, ['/'], to('whole'), { onProgress });
  equal(await differences(root, to('whole')), '');
  ok(seen.at(-1)! > 24 * 2 ** 20);
  const { stdout } = spawnSync('du', ['-k', to('whole/sparse')], { encoding: 'utf8' });
  ok(Number(stdout.split('\t')[0]) < 200, `holes stay holes: ${stdout}`);
  await copyOut(root, ['etc/deep', '/home/-rf', 'home/@file'], to('some'));
  deepEqual(readdirSync(to('some')).toSorted(), ['-rf', '@file', 'deep']);
  const { to: file } = await copyOut(root, ['home/relative/er/file'], to('one.bin'));
  equal(file, to('one.bin'));
  deepEqual(readFileSync(file), readFileSync(join(root, 'etc/deep/er/file')));
  // A link is copied as a link; with a slash behind it is what it leads to.
  await copyOut(root, ['home/relative'], to('link/'));
  ok(spawnSync('test', ['-L', to('link/relative')]).status === 0);
  await copyOut(root, ['home/relative/'], to('led'));
  deepEqual(readdirSync(to('led/deep/er')), ['file']);
});

// A6.
test('where rights are dropped a copied program has none of its own', { skip }, async () => {
  mkdirSync(join(root, 'capable'));
  const path = join(root, 'capable/tool');
  writeFileSync(path, '#!/bin/sh\n', { mode: 0o6755 });
  await program('setfattr', '-n', 'user.note', '-v', 'kept', path);
  // Version 2, effective; every capability of the first half permitted (linux/capability.h, vfs_cap_data).
  const every = `0x01000002ffffffff${'0'.repeat(24)}`;
  await program('setfattr', '-n', 'security.capability', '-v', every, path);
  const attributes = (at: string): string =>
    spawnSync('getfattr', ['-d', '-m', '-', at], { encoding: 'utf8' }).stdout;
  ok(attributes(path).includes('security.capability'));
  await copyOut(root, ['capable'], to('dropped'), { dropSetId: true });
  const copied = to('dropped/capable/tool');
  equal(statSync(copied).mode & 0o7777, 0o755);
  ok(!attributes(copied).includes('security.capability'), attributes(copied));
  ok(attributes(copied).includes('user.note'));
  // What takes copies for others has no right to give them one.
  const unit = readFileSync('systemd/holdfast-filesd.service', 'utf8');
  ok(!unit.includes('CAP_SETFCAP'));
});

test('what was copied half is gone on with', { skip }, async () => {
  const big = noise(4 * 2 ** 20, 5);
  mkdirSync(join(root, 'big'));
  writeFileSync(join(root, 'big/file'), big);
  writeFileSync(join(root, 'big/other'), 'whole\n');
  // Interrupted: one file is whole, one half.
  mkdirSync(to('half/big/.holdfast-partial'), { recursive: true });
  writeFileSync(to('half/big/.holdfast-partial/file'), big.subarray(0, 3 * 2 ** 20));
  await program('cp', '--archive', join(root, 'big/other'), to('half/big'));
  await copyOut(root, ['big'], to('half'));
  deepEqual(readFileSync(to('half/big/file')), Buffer.from(big));
  deepEqual(readdirSync(to('half/big')).toSorted(), ['file', 'other']);
});

// F15
test('a file that is there and differs is replaced only where that was said', {
  skip,
}, async () => {
  const source = join(root, 'replace');
  mkdirSync(join(source, 'sub'), { recursive: true });
  for (const name of ['newer', 'same', 'sub/in', 'was-link', 'was-file']) {
    writeFileSync(join(source, name), 'of the guest\n');
  }
  mkdirSync(to('replace/replace/sub'), { recursive: true });
  const there = (name: string): string => to(`replace/replace/${name}`);
  await program('cp', '--archive', join(source, 'same'), there('same'));
  writeFileSync(there('newer'), 'written since\n');
  writeFileSync(there('mine'), 'my own\n');
  symlinkSync('/etc/hostname', there('was-link'));
  await rejects(copyOut(root, ['replace'], to('replace')), {
    code: 'EXISTS',
    message: /^(?=.*\bnewer\b)(?=.*was-link)(?!.*same)(?!.*sub\/in).*nothing was copied/,
  });
  deepEqual(readdirSync(there('.')).toSorted(), ['mine', 'newer', 'same', 'sub', 'was-link']);
  equal(readFileSync(there('newer'), 'utf8'), 'written since\n');
  const one = to('replace/one');
  writeFileSync(one, 'written since\n');
  await rejects(copyOut(root, ['replace/newer'], one), { code: 'EXISTS' });
  equal(readFileSync(one, 'utf8'), 'written since\n');

  await copyOut(root, ['replace'], to('replace'), { overwrite: true });
  await copyOut(root, ['replace/newer'], one, { overwrite: true });
  for (const path of [there('newer'), there('was-link'), there('sub/in'), one]) {
    equal(readFileSync(path, 'utf8'), 'of the guest\n');
  }
  equal(readFileSync(there('mine'), 'utf8'), 'my own\n');
  // Nothing differs: there is nothing to ask.
  await copyOut(root, ['replace'], to('replace'));
});

// F29
test('a device file that was named is not called copied', {
  skip: skip || (!isSuperuser() && 'only root makes device files'),
}, async () => {
  await program('mknod', join(root, 'etc/null'), 'c', '1', '3');
  try {
    await rejects(copyOut(root, ['etc/null'], to('null')), { code: 'BAD_PATH', message: /device/ });
  } finally {
    rmSync(join(root, 'etc/null'));
  }
});

// F30
test('times before 1970 are right to the fraction, and times that no date can be hurt nothing', {
  skip,
}, async () => {
  const path = join(root, 'times');
  mkdirSync(path);
  const wanted = [-1.5, -2, -0.25, 5.25];
  for (const time of wanted) {
    writeFileSync(join(path, `at${time}`), '');
    await program('touch', '-d', `@${time}`, join(path, `at${time}`));
  }
  const found = await all(listDirectory(root, 'times'));
  for (const time of wanted) {
    const entry = found.find((it) => it.path === `times/at${time}`);
    equal(entry!.modified, time * 1000);
    equal(entry!.modified, statSync(join(path, `at${time}`)).mtimeMs);
  }
  rmSync(path, { recursive: true });
});

test('a destination that cannot take them says so', { skip }, async () => {
  await rejects(copyOut(root, ['etc'], 'relative'), { code: 'BAD_PATH' });
  await rejects(copyOut(root, ['etc', 'nothing'], to('x')), { code: 'NOT_FOUND' });
  await rejects(copyOut(root, ['etc/deep', 'home/relative/'], to('x')), { code: 'BAD_PATH' });
  writeFileSync(to('taken'), '');
  await rejects(copyOut(root, ['etc'], to('taken')), { code: 'DENIED' });
  await rejects(copyOut(root, ['etc'], '/proc/none/x'), { code: 'DENIED' });
  const small = to('small');
  mkdirSync(small);
  await program('mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', small);
  try {
    await rejects(copyOut(root, ['etc'], small), { code: 'NO_SPACE', message: /is full/ });
    // No lists of rights here, but the files.
    await program('mount', '-o', 'remount,size=4m', small);
    await program('rm', '-rf', join(small, 'etc'));
    await copyOut(root, ['etc'], small);
    equal(await differences(join(root, 'etc'), join(small, 'etc'), '--no-A', '--no-X'), '');
  } finally {
    await program('umount', small);
  }
});

test('a tar holds everything, a zip the files', { skip }, async () => {
  const write = async (format: 'tar' | 'zip', paths: string[]): Promise<string> => {
    const path = to(`archive.${format}`);
    writeFileSync(path, '');
    for await (const part of archive(root, paths, { format }))
      writeFileSync(path, part, { flag: 'a' });
    return path;
  };
  const tar = await write('tar', ['/']);
  mkdirSync(to('from-tar'));
  await program(
    'tar',
    '--xattrs',
    '--xattrs-include=*',
    '--acls',
    '--sparse',
    '-xpf',
    tar,
    '-C',
    to('from-tar'),
  );
  equal(await differences(root, to('from-tar')), '');
  const zip = await write('zip', [
    'etc/deep',
    'home/@file',
    'home/-rf',
    'home/absolute',
    'home/übung',
    'sparse',
  ]);
  mkdirSync(to('from-zip'));
  await program('unzip', '-q', zip, '-d', to('from-zip'));
  deepEqual(readdirSync(to('from-zip/home')).toSorted(), ['-rf', '@file', 'absolute', 'übung']);
  const sum = (path: string): string =>
    createHash('sha256').update(readFileSync(path)).digest('hex');
  for (const path of ['etc/deep/er/file', 'sparse', `home/übung/${LONG_NAME}`]) {
    equal(sum(to(`from-zip/${path}`)), sum(join(root, path)), path);
  }
});

test('a stream without a reader ends its program', { skip }, async () => {
  truncateSync(join(root, 'big/file'), 64 * 2 ** 20);
  for await (const part of archive(root, ['big'], { format: 'tar' })) {
    ok(part.length > 0);
    break;
  }
  for await (const entry of findFiles(root, '', { name: undefined })) {
    ok(entry);
    break;
  }
  const abort = new AbortController();
  abort.abort();
  await rejects(copyOut(root, ['big'], to('never'), { signal: abort.signal }), {
    code: 'INTERRUPTED',
  });
  await rejects(all(listDirectory(join(directory, 'unmounted'), '')), { code: 'UNREADABLE' });
});

test('a file that was not copied is no lost attribute, whatever it is called', async () => {
  const said = (line: string) => () => judge(23, `${line}\n`, '/to');
  throws(said('rsync: [sender] read errors mapping "/v/bin/chown": Input/output error (5)'), {
    code: 'UNREADABLE',
  });
  throws(said('rsync: [receiver] write failed on "/to/fs-xattr/a": No space left on device (28)'), {
    code: 'NO_SPACE',
  });
  // F21: a stream of NTFS is content.
  throws(
    said(
      'rsync: [receiver] rsync_xal_set: lsetxattr("/to/a","user.zone") failed: No space left on device (28)',
    ),
    { code: 'INCOMPLETE', message: /streams of NTFS/ },
  );
  const lost = 'rsync: [generator] chown "/to/link_stat" failed: Operation not permitted (1)';
  deepEqual(said(lost)(), [lost]);
});
