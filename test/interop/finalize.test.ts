import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn, type Running } from '../support/cli.ts';
import { program, without } from '../support/programs.ts';
import { qemuNbd } from '../support/qemu-nbd.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// What a guest has left on a session's disks arrives in permanent storage, as other people's programs see it.
const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const MiB = 2 ** 20;
const SIZE = 6 * MiB;
const root = temporaryDirectory();
const home = await holdfastIn(root);
const { holdfast, store, passphrase } = home;
const key = ['--store', store, '--passphrase-file', passphrase, '--json'];
const skip = without('qemu-img', 'qemu-io', 'qemu-nbd');

/** Data, and a hole in the middle of it. */
async function backUp(machine: string, disks: readonly string[]): Promise<void> {
  const images = disks.map((disk, at) => {
    const image = join(root, `${machine}-${disk}.img`);
    const contents = Buffer.from(noise(SIZE, at + 1));
    contents.fill(0, 2 * MiB, 3 * MiB);
    writeFileSync(image, contents);
    return `${disk}=${image}`;
  });
  await expectDone(home.backUp(machine, images));
}

const uriOf = ({ ready }: Running, at: number): string => ready.exports![at]!.uri;

/** A guest's writes, of all kinds, some of them not aligned to anything. */
async function write(session: Running, at: number, seed = 1): Promise<void> {
  const words = [
    `write -P ${seed} 4096 64k`,
    `write -P ${seed + 1} ${MiB - 512} 5k`,
    'write -z -u 3M 512k',
    `write -P ${seed + 2} 2500k 8k`,
    'discard 4M 1M',
    'flush',
  ];
  await program('qemu-io', ...words.flatMap((it) => ['-c', it]), '-f', 'raw', uriOf(session, at));
}

/** What the guest sees, as QEMU reads it. */
async function seen(session: Running, at: number, name: string): Promise<string> {
  const path = join(root, name);
  await program('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uriOf(session, at), path);
  return path;
}

/** Rejects unless an image holds exactly what `expected` does, as QEMU reads it. */
async function same(format: string, path: string, expected: string): Promise<void> {
  await program('qemu-img', 'compare', '-f', 'raw', '-F', format, expected, path);
  const info = await program('qemu-img', 'info', '--output=json', '-f', format, path);
  equal((JSON.parse(info) as { 'virtual-size': number })['virtual-size'], SIZE);
}

function directory(name: string): string {
  const path = join(root, name);
  mkdirSync(path);
  return path;
}

const sessions = async (): Promise<unknown[]> => {
  const { result } = await expectDone(holdfast('session', 'list'));
  return (result['sessions'] as { session: string }[]).map((it) => it.session);
};

const DISKS = ['vda', 'vdb', 'vdc', 'vdd'];
const FORMATS = ['raw', 'qcow2', 'vmdk', 'vhdx'];

test('a session ends with its disks in files of each format', { skip }, async () => {
  await backUp('files', DISKS);
  const running = await home.start('recover', 'files@latest');
  const { session } = running.ready;
  for (const at of DISKS.keys()) await write(running, at);
  const expected = await Promise.all(DISKS.map((disk, at) => seen(running, at, `seen-${disk}`)));
  const to = directory('files');
  const targets = FORMATS.slice(1).flatMap((it, at) => [
    '--disk',
    `${DISKS[at + 1]}=${join(to, `x.${it}`)}`,
  ]);
  const words = ['session', 'finalize', session, '--to', to, ...targets];

  const inUse = await holdfast(...words);
  equal(inUse.code, 3, inUse.stderr);
  match(inUse.stderr, /is in use by/);
  await running.stop('SIGINT');
  const refusals = [
    [['--disk', `vda=${join(to, 'x.vhdx')}`], /two disks would be written to .*x\.vhdx/],
    [['--disk', 'vde=/srv/e'], /there is no disk vde/],
    [['--disk', `vda=${join(store, 'x')}`], /is in the directory of the store/],
  ] as const;
  for (const [more, why] of refusals) {
    const refused = await holdfast(...words, ...more);
    ok(refused.code !== 0);
    match(refused.stderr, why);
    deepEqual(readdirSync(to), []);
  }
  const nowhere = await holdfast('session', 'finalize', session, '--to', join(to, 'no'));
  match(nowhere.stderr, /no such directory/);

  writeFileSync(join(to, 'x.vmdk'), 'of another');
  const there = await holdfast(...words);
  ok(there.code !== 0);
  equal(readFileSync(join(to, 'x.vmdk'), 'utf8'), 'of another');
  deepEqual(readdirSync(to), ['x.vmdk'], 'no disk has its name before all are whole');
  deepEqual(await sessions(), [session]);

  const done = await expectDone(holdfast(...words, '--overwrite'));
  const disks = done.result['disks'] as { disk: string; to: string; format: string }[];
  deepEqual(
    disks.map(({ disk, format }) => [disk, format]),
    DISKS.map((disk, at) => [disk, FORMATS[at]]),
  );
  equal(basename(disks[0]!.to), 'files-vda.raw');
  for (const [at, disk] of disks.entries()) await same(disk.format, disk.to, expected[at]!);
  deepEqual(await sessions(), []);
  const gone = await holdfast(...words);
  equal(gone.code, 5);
});

test('a session ends with its disks on a device and at an NBD server', { skip }, async (t) => {
  await backUp('devices', ['vda', 'vdb']);
  const running = await home.start('recover', 'devices@latest');
  const { session } = running.ready;
  for (const at of [0, 1]) await write(running, at, 7);
  const expected = await Promise.all([0, 1].map((at) => seen(running, at, `device-${at}`)));
  await running.stop('SIGINT');
  const behind = [0, 1].map((at) => {
    const path = join(root, `behind-${at}`);
    writeFileSync(path, Buffer.alloc(SIZE + MiB, 'old'));
    return path;
  });
  await using server = await qemuNbd('-f', 'raw', behind[1]!);
  const loop = spawnSync('losetup', ['--find', '--show', behind[0]!], { encoding: 'utf8' });
  const device = loop.status === 0 ? loop.stdout.trim() : undefined;
  if (device === undefined) t.comment('no loop devices here');
  else t.after(() => void spawnSync('losetup', ['--detach', device]));
  const first = device ?? join(root, 'instead');
  const words = ['session', 'finalize', session, '--disk', `vda=${first}`];
  words.push('--disk', `vdb=${server.uri}`);

  const foreign = await holdfast(...words, '--format', 'qcow2');
  match(foreign.stderr, device === undefined ? /only raw/ : /only raw can be written here/);
  await expectDone(holdfast(...words));
  for (const [at, path] of [first, behind[1]!].entries()) {
    deepEqual(readFileSync(path).subarray(0, SIZE), readFileSync(expected[at]!), path);
  }
  ok(
    readFileSync(behind[1]!)
      .subarray(SIZE)
      .equals(Buffer.alloc(SIZE + MiB, 'old').subarray(SIZE)),
  );
  deepEqual(await sessions(), []);
});

test('a recovery point is copied while the guest runs, and then what the guest wrote', {
  skip,
}, async () => {
  await backUp('live', ['vda', 'vdb']);
  const running = await home.start('recover', 'live@latest');
  const { session } = running.ready;
  await write(running, 0, 3);
  const to = directory('live');
  const words = ['session', 'finalize', session, '--to', to, '--while-running'];
  words.push('--disk', `vdb=${join(to, 'b.qcow2')}`);
  const child = spawn(process.execPath, [MAIN, ...words, ...key]);
  const ended = once(child, 'close');
  let told = '';
  child.stderr.on('data', (bytes: Buffer) => (told += bytes.toString()));
  child.stdout.on('data', (bytes: Buffer) => (told += bytes.toString()));
  await until('the recovery point is copied', async () =>
    /the recovery point is copied/.test(told),
  );
  match(told, new RegExp(`session stop ${session}.*at most .* about \\d+ seconds`, 's'));
  deepEqual(
    readdirSync(to).filter((it) => !it.endsWith('.part')),
    [],
  );
  // The guest goes on: over what was copied, also with zeros.
  await write(running, 0, 40);
  await write(running, 1, 50);
  const expected = await Promise.all([0, 1].map((at) => seen(running, at, `live-${at}`)));
  await running.stop('SIGINT');
  deepEqual(await ended, [0, null], told);
  deepEqual(readdirSync(to), ['b.qcow2', 'live-vda.raw']);
  await same('raw', join(to, 'live-vda.raw'), expected[0]!);
  await same('qcow2', join(to, 'b.qcow2'), expected[1]!);
  deepEqual(await sessions(), []);
});

/** Kills the command, which nothing can prevent, once `when` holds. */
async function killed(words: readonly string[], when: () => boolean): Promise<void> {
  const child = spawn(process.execPath, [MAIN, ...words, ...key], { stdio: 'ignore' });
  const ended = once(child, 'close');
  while (!when() && child.exitCode === null) await new Promise(setImmediate);
  child.kill('SIGKILL');
  await ended;
}

test('killed at any time, the same command ends it, and all disks are whole', {
  skip,
}, async () => {
  await backUp('killed', ['vda', 'vdb']);
  const running = await home.start('recover', 'killed@latest');
  const { session } = running.ready;
  for (const at of [0, 1]) await write(running, at, 90);
  const expected = await Promise.all([0, 1].map((at) => seen(running, at, `killed-${at}`)));
  await running.stop('SIGINT');
  const to = directory('killed');
  const words = ['session', 'finalize', session, '--to', to, '--format', 'qcow2'];
  const names = (): string[] => readdirSync(to);
  await killed(words, () => names().some((it) => it.endsWith('.part')));
  await killed(words, () => names().some((it) => it.includes('vdb') && it.endsWith('.part')));
  deepEqual(
    names().filter((it) => !it.endsWith('.part')),
    [],
  );
  deepEqual(await sessions(), [session]);
  await killed(words, () => names().includes('killed-vda.qcow2'));
  const left = await sessions();
  if (left.length > 0) await expectDone(holdfast(...words));
  deepEqual(names(), ['killed-vda.qcow2', 'killed-vdb.qcow2']);
  for (const at of [0, 1]) await same('qcow2', join(to, names()[at]!), expected[at]!);
  deepEqual(await sessions(), []);
});

test('of a file that another attempt has written, only that of this session is accepted', {
  skip,
}, async () => {
  await backUp('again', ['vda', 'vdb']);
  const running = await home.start('recover', 'again@latest');
  const { session } = running.ready;
  await write(running, 0, 5);
  const to = directory('again');
  const earlier = await seen(running, 0, join('again', 'again-vda.raw'));
  await write(running, 0, 6);
  const expected = await seen(running, 0, 'again-expected');
  await running.stop('SIGINT');
  const words = ['session', 'finalize', session, '--to', to];
  const refused = await holdfast(...words);
  match(refused.stderr, /again-vda\.raw exists/);
  deepEqual(readdirSync(to), [basename(earlier)]);
  writeFileSync(earlier, readFileSync(expected));
  const done = await expectDone(holdfast(...words));
  const [vda] = done.result['disks'] as { writtenBytes: number }[];
  equal(vda!.writtenBytes, 0);
});

test('a full target leaves the session and no file, and the session runs on', {
  skip,
}, async (t) => {
  await backUp('full', ['vda', 'vdb']);
  const small = directory('small');
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'small', small]);
  if (mounted.status !== 0) return t.comment('no mounts here');
  t.after(() => void spawnSync('umount', ['--lazy', small]));
  const running = await home.start('recover', 'full@latest');
  const { session } = running.ready;
  await write(running, 0, 30);
  const expected = await seen(running, 0, 'full-expected');
  await running.stop('SIGINT');
  // Each of them has room, and both together have not.
  const both = await holdfast('session', 'finalize', session, '--to', small);
  equal(both.code, 7, both.stderr);
  match(both.stderr, /are free there besides the \d+ that other disks take.*Nothing was written/);
  deepEqual(readdirSync(small), []);
  // The server only finds out while it writes.
  const thin = join(small, 'thin');
  writeFileSync(thin, '');
  truncateSync(thin, SIZE);
  writeFileSync(join(small, 'hog'), Buffer.alloc(7 * MiB, 1));
  await using server = await qemuNbd('-f', 'raw', thin);
  const to = directory('full');
  const words = ['session', 'finalize', session, '--to', to];
  const full = await holdfast(...words, '--disk', `vdb=${server.uri}`);
  equal(full.code, 7, full.stderr);
  match(full.stderr, /no space is left there/);
  deepEqual(readdirSync(to), []);
  const again = await home.start('recover', '--resume', session);
  equal(
    Buffer.compare(readFileSync(expected), readFileSync(await seen(again, 0, 'full-after'))),
    0,
  );
  await again.stop('SIGINT');
  await expectDone(holdfast(...words));
  ok(existsSync(join(to, 'full-vdb.raw')));
});

test('Ctrl-C leaves the session and nothing else', { skip }, async () => {
  await backUp('interrupted', ['vda']);
  const running = await home.start('recover', 'interrupted@latest');
  const { session } = running.ready;
  const to = directory('interrupted');
  // It waits for the end of the session, with its file open.
  const words = ['session', 'finalize', session, '--to', to, '--while-running'];
  const child = spawn(process.execPath, [MAIN, ...words, ...key], { stdio: 'ignore' });
  const ended = once(child, 'close');
  await until('a file', async () => readdirSync(to).length > 0);
  child.kill('SIGINT');
  deepEqual(await ended, [130, null]);
  deepEqual(readdirSync(to), []);
  await running.stop('SIGINT');
  ok((await sessions()).includes(session));
  await expectDone(holdfast('session', 'discard', session));
});
