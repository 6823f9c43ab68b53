import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { askService } from '../../src/client/service-client.ts';
import { isSuperuser } from '../../src/sys/process/run.ts';
import { expectDone } from '../support/cli.ts';
import { makeDisk, makeExt, makeNtfs, makeTree } from '../support/guest-images.ts';
import { program, without } from '../support/programs.ts';
import { type RunningService, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Volumes that the service has open, for people who have no rights to mount: here root runs it, and it mounts itself.

const skip =
  (!isSuperuser() && 'only root may mount') ||
  (!existsSync('/dev/fuse') && 'this kernel has no FUSE') ||
  without('sfdisk', 'mkfs.ntfs', 'ntfs-3g', 'rsync', 'setfacl', 'setfattr', 'losetup');
const directory = temporaryDirectory();
const home = serviceHome(directory);
const restores = join(directory, 'restores');
home.configure({ passphraseFiles: { nightly: home.passphrase }, restores });
const files = (what: string, ...args: string[]) => home.holdfast('files', what, ...args);
let service: RunningService | undefined;

if (skip === false) {
  const tree = join(directory, 'tree');
  mkdirSync(tree);
  makeTree(tree);
  const plain = join(directory, 'plain');
  mkdirSync(plain);
  makeTree(plain, 'plain');
  const swap = join(directory, 'swap');
  await program('truncate', '-s', '8M', swap);
  await program('mkswap', swap);
  const parts = [
    { file: await makeExt(join(directory, 'ext4'), { tree }) },
    { file: await makeNtfs(join(directory, 'ntfs'), plain) },
    { file: swap },
  ];
  await makeDisk(join(directory, 'disk'), { label: 'gpt', parts });
  service = await serviceWith(home, join(directory, 'disk'));
}

async function open(): Promise<{ readonly id: string; readonly at: string }> {
  const { result } = await expectDone(files('open', 'vm@latest'));
  return { id: String(result['id']), at: String(result['at']) };
}

function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${path}`));
}

test('volumes stay open until they are closed, with the key that the service has', {
  skip,
}, async () => {
  const { id, at } = await open();
  const { result } = await expectDone(files('opened'));
  deepEqual(
    (result['opened'] as { id: string; state: string }[]).map((it) => [it.id, it.state]),
    [[id, 'open']],
  );
  ok(existsSync(join(at, 'vda1', 'etc')));
  deepEqual((await expectDone(files('close', id))).result['closed'], [id]);
  deepEqual(mountsBelow(at), []);
  equal((await files('close', id)).code, 5);
});

test('a directory comes by the page, directories first, and what is wrong is said', {
  skip,
}, async () => {
  const { id } = await open();
  const browse = (path: string, first: number, count: number) =>
    askService(
      home.socket,
      'files/browse',
      { id, volume: 'vda1', path, first, count },
      { secret: undefined, report() {}, signal: new AbortController().signal },
    );
  const whole = await browse('/', 0, 100);
  deepEqual(
    whole.entries.map(({ path, kind }) => [path, kind]),
    [
      ['etc', 'directory'],
      ['home', 'directory'],
      ['lost+found', 'directory'],
      ['sparse', 'file'],
    ],
  );
  const page = await browse('/', 1, 2);
  deepEqual([page.total, page.entries], [4, whole.entries.slice(1, 3)]);
  const { lines } = await expectDone(files('browse', id, 'vda2', '/home'));
  deepEqual(
    lines.map(({ volume, path }) => [volume, String(path).startsWith('home/')]),
    lines.map(() => ['vda2', true]),
  );
  ok(lines.length > 0);
  const closed = await files('browse', id, 'vda3');
  match(String(closed.result['message']), /vda3 is not open: swap space holds no files/);
  const none = await files('browse', id, 'vda9');
  match(String(none.result['message']), /no volume vda9, but vda1, vda2/);
  equal((await files('browse', id, 'vda1', '../etc')).code, 2);
  equal((await files('browse', 'nobody', 'vda1')).code, 5);
  await expectDone(files('close', '--all'));
});

test('files are copied to where the service keeps them, without rights of their own', {
  skip,
}, async () => {
  const { id } = await open();
  const { result } = await expectDone(files('copy', id, 'vda1', '/etc', '/sparse', '--to', 'web1'));
  equal(result['to'], `${join(restores, 'web1')}/`);
  const tool = statSync(join(restores, 'web1', 'etc', 'tool'));
  equal(tool.mode & 0o7777, 0o755, 'it was set-uid and set-gid');
  ok(statSync(join(restores, 'web1', 'sparse')).size > 0);
  for (const to of ['../web1', '/etc', '.', '..', 'a/b']) {
    equal((await files('copy', id, 'vda1', '/etc', '--to', to)).code, 2, to);
  }
  const missing = await files('copy', id, 'vda1', '/nowhere', '--to', 'web1');
  equal(missing.code, 5);
  await expectDone(files('close', '--all'));
});

test('nothing stays mounted when the service stops, and what a killed one leaves is taken away', {
  skip,
}, async () => {
  const first = await open();
  equal(await service!.stop('SIGTERM'), 0);
  deepEqual(mountsBelow(first.at), []);
  service = await home.run();
  const second = await open();
  await service.stop('SIGKILL');
  service = await home.run();
  const left = (await expectDone(files('opened'))).result['opened'] as { state: string }[];
  deepEqual(
    left.map(({ state }) => state),
    ['left'],
  );
  deepEqual((await expectDone(files('close', second.id))).result['closed'], [second.id]);
  deepEqual(mountsBelow(second.at), []);
  await service.stop('SIGTERM');
});
