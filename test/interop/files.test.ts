import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { isSuperuser } from '../../src/sys/process/run.ts';
import { type Ended, expectDone, holdfastIn, spawnCli } from '../support/cli.ts';
import {
  differences,
  LONG_NAME,
  makeDisk,
  makeExt,
  makeNtfs,
  makeTree,
  makeXfs,
} from '../support/guest-images.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// From a recovery point in an encrypted store to the file, as people do it.

const skip =
  (!isSuperuser() && 'only root may mount') ||
  (!existsSync('/dev/fuse') && 'this kernel has no FUSE') ||
  without(
    'sfdisk',
    'mkfs.ntfs',
    'mkfs.xfs',
    'ntfs-3g',
    'rsync',
    'bsdtar',
    'setfacl',
    'setfattr',
    'losetup',
  );
const directory = temporaryDirectory();
const { holdfast, backUp, start } = await holdfastIn(directory, spawnCli);
const [tree, plain] = [join(directory, 'tree'), join(directory, 'plain')];
if (skip === false) {
  for (const path of [tree, plain]) mkdirSync(path);
  makeTree(tree);
  makeTree(plain, 'plain');
  writeFileSync(join(plain, 'only-there'), 'on Windows\n');
  const swap = join(directory, 'swap');
  await program('truncate', '-s', '8M', swap);
  await program('mkswap', swap);
  const parts = [
    { file: await makeExt(join(directory, 'ext4'), { tree }) },
    { file: await makeXfs(join(directory, 'xfs'), tree) },
    { file: await makeNtfs(join(directory, 'ntfs'), plain) },
    { file: swap },
  ];
  await makeDisk(join(directory, 'disk'), { label: 'gpt', parts });
  await expectDone(backUp('vm', [`vda=${join(directory, 'disk')}`]));
}
const files = (what: string, ...args: string[]): Promise<Ended> => holdfast('files', what, ...args);

const opened: string[] = [];

function isOurs(line: string): boolean {
  return (
    line.includes(directory) || opened.some((id) => line.includes(`/run/holdfast/files/${id}`))
  );
}

function mountsLeft(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(isOurs);
}

/** Commands that only look have mounts of their own, at the same path for all: others' appear and disappear. */
function loopsLeft(): string[] {
  const { stdout } = spawnSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], {
    encoding: 'utf8',
  });
  return stdout.split('\n').filter((line) => isOurs(line) || line.includes('/run/holdfast/visit'));
}

async function nothingIsLeft(): Promise<void> {
  const left = (): string[] => [...mountsLeft(), ...loopsLeft()];
  await until('the end of all mounts and loop devices', () => left().length === 0);
}

test('the volumes of a disk are listed, and those that cannot be opened say why', {
  skip,
}, async () => {
  const { result } = await expectDone(files('list', 'vm@latest', 'vda'));
  const volumes = result['volumes'] as Record<string, unknown>[];
  deepEqual(
    volumes.map((it) => [it['volume'], it['kind'], it['label'], it['closed']]),
    [
      ['vda1', 'ext4', 'gu"est', null],
      ['vda2', 'xfs', 'guest-xfs', null],
      ['vda3', 'ntfs', 'Wïndows', null],
      ['vda4', 'swap', null, 'swap space holds no files'],
    ],
  );
  deepEqual(mountsLeft(), []);
  await nothingIsLeft();
});

test('files are listed and found, in the volume that has them', { skip }, async () => {
  const { lines } = await expectDone(files('list', 'vm@latest', 'vda', '/', '--volume', 'vda1'));
  deepEqual(
    lines.map((it) => String(it['path'])).toSorted((a, b) => (a < b ? -1 : 1)),
    ['etc', 'home', 'lost+found', 'sparse'],
  );
  const only = await expectDone(files('list', 'vm@latest', 'vda', 'only-there'));
  deepEqual([only.result['volume'], only.result['size']], ['vda3', 11]);
  const found = await expectDone(
    files('find', 'vm@latest', 'vda', '--name', '*日本*', '--volume', 'vda2'),
  );
  equal(found.result['path'], `home/übung/${LONG_NAME}`);
  const several = await files('list', 'vm@latest', 'vda', 'etc');
  deepEqual([several.code, several.result['event']], [5, 'error']);
  match(String(several.result['message']), /vda1, vda2, vda3 have etc: choose with --volume/);
  const none = await files('list', 'vm@latest', 'vda', 'nowhere');
  match(String(none.result['message']), /none of the volumes vda1, vda2, vda3 has nowhere/);
  const disk = await files('list', 'vm@latest', 'vdb');
  deepEqual([disk.code, String(disk.result['message']).includes('it has vda')], [5, true]);
  equal((await files('list', 'vm@latest', 'vda', '../etc')).code, 2);
});

test('files are copied out with all that belongs to them, and streamed', { skip }, async () => {
  const out = join(directory, 'out');
  const done = await expectDone(
    files('get', 'vm@latest', 'vda', '/', '--volume', 'vda2', '--to', out),
  );
  deepEqual([done.result['volume'], done.result['lost']], ['vda2', []]);
  equal(await differences(tree, out), '');
  const one = join(directory, 'one');
  await expectDone(files('get', 'vm@latest', 'vda', 'only-there', '--to', one));
  equal(readFileSync(one, 'utf8'), 'on Windows\n');
  const text = await files(
    'get',
    'vm@latest',
    'vda',
    'etc/hostname',
    '--volume',
    'vda1',
    '--to',
    '-',
  );
  equal(text.stdout, 'guest\n');
  const list = await files('get', 'vm@latest', 'vda', 'only-there', '--to', '-', '--tar');
  ok(list.stdout.includes('ustar'));
  equal(
    (await files('get', 'vm@latest', 'vda', 'etc', '--to', '/proc/none', '--volume', 'vda1')).code,
    8,
  );
  equal((await files('get', 'vm@latest', 'vda', 'etc', '--to', '-', '--volume', 'vda1')).code, 2);
  deepEqual(mountsLeft(), []);
  await nothingIsLeft();
});

/** Open until it is closed, in whatever way the test ends. */
async function openAt(at: string) {
  const running = await start('files', 'open', 'vm@latest', '--at', at);
  const { id } = running.ready as unknown as { id: string };
  opened.push(id);
  return {
    running,
    id,
    async [Symbol.asyncDispose]() {
      await running.stop('SIGKILL');
      await spawnCli(['files', 'close', id]);
    },
  };
}

test('volumes are open for the whole host until they are closed', { skip }, async () => {
  const at = join(directory, 'at');
  await using open = await openAt(at);
  const { running, id } = open;
  deepEqual(readdirSync(at), ['vda1', 'vda2', 'vda3']);
  deepEqual((await program('ls', join(at, 'vda3'))).trim().split('\n'), [
    'etc',
    'home',
    'only-there',
  ]);
  equal(await differences(tree, join(at, 'vda1'), '--exclude=/lost+found'), '');
  const all = (await spawnCli(['files', 'opened', '--json'])).result['opened'] as Record<
    string,
    unknown
  >[];
  const entry = all.find((it) => it['id'] === id);
  deepEqual([entry?.['id'], entry?.['state']], [id, 'open']);
  const closed = await expectDone(spawnCli(['files', 'close', id, '--json']));
  deepEqual(closed.result['closed'], [id]);
  equal(await running.ended, 0);
  equal(existsSync(at), false, 'what was made for it is gone');
  deepEqual(mountsLeft(), []);
  await nothingIsLeft();
  equal((await spawnCli(['files', 'close', id])).code, 5);
});

test('a running session is looked into as well', { skip }, async () => {
  await using session = await start('recover', 'vm@latest');
  const id = session.ready.session;
  const { result } = await expectDone(files('list', id, 'vda', 'only-there'));
  equal(result['volume'], 'vda3');
});

test('whatever kills it, nothing stays mounted', { skip }, async () => {
  const at = join(directory, 'killed');
  await using open = await openAt(at);
  const { running, id } = open;
  const held = spawn('sleep', ['60'], { cwd: join(at, 'vda1') });
  await running.stop('SIGKILL');
  const left = (await spawnCli(['files', 'opened', '--json'])).result['opened'] as Record<
    string,
    unknown
  >[];
  equal(left.find((it) => it['id'] === id)?.['state'], 'left');
  await expectDone(spawnCli(['files', 'close', id, '--json']));
  equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(directory), false);
  held.kill('SIGKILL');
  await once(held, 'exit');
  await nothingIsLeft();

  // In the middle of a copy: no other process has seen a mount, and nothing has to be closed.
  const child = spawn(process.execPath, [
    ...['src/cli/main.ts', 'files', 'get', 'vm@latest', 'vda', '/', '--volume', 'vda1'],
    ...['--to', join(directory, 'half'), '--store', join(directory, 'store')],
    ...['--passphrase-file', join(directory, 'passphrase')],
  ]);
  await until('a copy that has begun', () => existsSync(join(directory, 'half')));
  child.kill('SIGKILL');
  await once(child, 'exit');
  await nothingIsLeft();
});
