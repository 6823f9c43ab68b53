import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { readSet, unlockSet } from '../../src/catalog/sets.ts';
import { mountStore } from '../../src/sessions/views/mount.ts';
import { openStore } from '../../src/store/directory/store.ts';
import { realWorld } from '../../src/sys/world.ts';
import { expectDone, holdfastIn, type Running } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// The store as a file system, through the Linux kernel. This process reads the mount through programs only.
const root = temporaryDirectory();
const { holdfast, backUp, start, passphrase, store } = await holdfastIn(root);
const raw = join(root, 'disk.raw');
makeRawDisk(raw);
execFileSync('sfdisk', ['--quiet', raw], { input: 'label: gpt\n2MiB,8MiB\n10MiB,13MiB\n' });
await expectDone(backUp('vm', [`vda=${raw}`]));
const KILLS = Number(process.env['KILLS'] ?? 50);

/** Until which kernel what a dead server had taken is lost. */
const [major, minor] = (await program('uname', '-r')).split('.').map(Number) as [number, number];
const skip =
  process.getuid?.() !== 0
    ? 'only root may mount'
    : !existsSync('/dev/fuse')
      ? 'this kernel has no FUSE'
      : without('fio', 'cmp', 'fallocate', 'sfdisk');
const noResend =
  major < 6 || (major === 6 && minor < 9) ? 'FUSE_NOTIFY_RESEND is of Linux 6.9' : false;

/** Flags of proc_pid_stat(5). */
const PF_MEMALLOC_NOIO = 0x00080000;
const CAP_SYS_RESOURCE = 1n << 24n;
const capabilities = BigInt(
  `0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`,
);
const noFlusher =
  (capabilities & CAP_SYS_RESOURCE) === 0n && 'root lacks CAP_SYS_RESOURCE on this machine';

interface Mounted extends AsyncDisposable {
  readonly running: Running;
  readonly directory: string;
  serverPid(): Promise<number>;
}

/** As `holdfastIn` writes it. */
const PASSPHRASE = new TextEncoder().encode('correct horse');
let mounts = 0;

async function mount(...options: string[]): Promise<Mounted> {
  const directory = join(root, `mnt${mounts++}`);
  mkdirSync(directory);
  const running = await start('mount', directory, ...options);
  return {
    running,
    directory,
    serverPid: async () => Number(await program('pgrep', '-P', String(running.child.pid))),
    async [Symbol.asyncDispose]() {
      equal(await running.stop('SIGTERM'), 0);
      equal(isMounted(directory), false);
    },
  };
}

function isMounted(directory: string): boolean {
  return readFileSync('/proc/mounts', 'utf8').includes(` ${directory} `);
}

/** Bytes of the file system that may be used, as df(1) counts them: without what is root's alone. */
async function totalOf(path: string): Promise<number> {
  const numbers = (await program('stat', '-f', '-c', '%b %f %a %S', path)).split(' ').map(Number);
  const [blocks, free, available, size] = numbers as [number, number, number, number];
  return (blocks - free + available) * size;
}

test('recovery points are files with the bytes, sizes and holes of their disks', {
  skip,
}, async () => {
  await using mounted = await mount();
  const machine = join(mounted.directory, 'sets/nightly/vm');
  const names = (await program('ls', machine)).trim().split('\n');
  equal(names.length, 2);
  equal(names[0], 'latest');
  const point = join(machine, names[1]!);
  equal((await program('readlink', join(machine, 'latest'))).trim(), names[1]);
  deepEqual((await program('ls', point)).trim().split('\n'), [
    'machine.json',
    'vda-part1.raw',
    'vda-part2.raw',
    'vda.raw',
  ]);
  await program('cmp', join(machine, 'latest/vda.raw'), raw);
  await program(
    'cmp',
    '-n',
    String(8 * 2 ** 20),
    join(point, 'vda-part1.raw'),
    raw,
    '0',
    String(2 * 2 ** 20),
  );
  const size = (await program('stat', '-c', '%s %a', join(point, 'vda-part2.raw'))).trim();
  equal(size, `${13 * 2 ** 20} 400`);
  const description = JSON.parse(await program('cat', join(point, 'machine.json')));
  equal(description.machine, 'vm');
  equal(description.disks[0].name, 'vda');
  // Copied sparsely by what lseek(2) tells.
  const copy = join(root, 'copy.raw');
  await program('cp', '--sparse=never', join(point, 'vda.raw'), copy);
  await program('cmp', copy, raw);
  await rejects(program('touch', join(point, 'new')), /Read-only|not permitted|not implemented/i);
  await rejects(program('dd', 'if=/dev/zero', `of=${join(point, 'vda.raw')}`, 'count=1'));
  // A name that is not there, in each kind of directory.
  for (const path of ['none', 'sets/none', 'sets/nightly/none', 'sets/nightly/vm/latest/none']) {
    await rejects(program('stat', join(mounted.directory, path)), /No such file/);
  }
  equal(await totalOf(mounted.directory), await totalOf(store));
});

test('the server never waits for memory that the kernel can only free through it', {
  skip: skip || noFlusher,
}, async () => {
  await using mounted = await mount();
  const stat = readFileSync(`/proc/${await mounted.serverPid()}/stat`, 'utf8');
  const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
  equal(flags & PF_MEMALLOC_NOIO, PF_MEMALLOC_NOIO);
});

test('what is made and forgotten shows up and vanishes', { skip }, async () => {
  await using mounted = await mount('--set', 'nightly');
  const made = await expectDone(backUp('other', [`sda=${raw}`]));
  const path = join(mounted.directory, 'sets/nightly/other');
  await until('what the mount shows', () =>
    program('ls', path).then(
      () => true,
      () => false,
    ),
  );
  // Only the beginning: the rest must not come from the page cache later.
  await program('cmp', '-n', '4096', join(path, 'latest/sda.raw'), raw);
  const reads = `exec 3<"$0"; echo open; read -r _; cmp - "$1" <&3`;
  const reader = spawn('sh', ['-c', reads, join(path, 'latest/sda.raw'), raw]);
  await once(reader.stdout, 'data');
  await expectDone(holdfast('backup', 'forget', made.result['point'] as string));
  await until('what the mount shows', () =>
    program('ls', path).then(
      () => false,
      () => true,
    ),
  );
  reader.stdin.end('go\n');
  deepEqual(
    await once(reader, 'exit'),
    [0, null],
    'a file that is open is there until it is closed',
  );
});

test("a running session's disk is written through the mount and its own export alike", {
  skip,
}, async () => {
  await using session = await start('recover', 'vm@latest');
  await using mounted = await mount();
  const disk = join(mounted.directory, 'sessions', session.ready.session, 'vda.raw');
  await program('cmp', disk, raw);
  await program(
    'fio',
    ...['--name=verify', `--filename=${disk}`, '--rw=randrw', '--bs=4k', '--ioengine=libaio'],
    ...['--iodepth=8', '--size=16m', '--direct=1', '--fsync=64', '--verify=crc32c'],
    ...['--do_verify=1', '--verify_state_save=0', '--output-format=json'],
  );
  await program('fallocate', '--punch-hole', '-o', '1048576', '-l', '1048576', disk);
  const before = await program('md5sum', disk);
  const copy = join(root, 'session.raw');
  await program('nbdcopy', session.uri, copy);
  equal((await program('md5sum', copy)).slice(0, 32), before.slice(0, 32));
  const hole = await program('cmp', '-n', '1048576', '-i', '1048576:0', copy, '/dev/zero');
  equal(hole, '');
  // Written on the other way, seen at once.
  await program('qemu-io', '-f', 'raw', '-c', 'write -P 0x5a 0 1M', session.uri);
  const first = execFileSync('head', ['-c', '1048576', disk]);
  ok(first.every((byte) => byte === 0x5a));
  await rejects(program('truncate', '-s', '1M', disk), /not permitted/);
  await rejects(program('chmod', '666', disk), /not permitted/);
  // One that guests reach over the network only is there too.
  await using remote = await start('recover', 'vm@latest', '--nbd', 'tcp:127.0.0.1:0');
  const other = join(mounted.directory, 'sessions', remote.ready.session, 'vda.raw');
  await until('what the mount shows', () =>
    program('cmp', other, raw).then(
      () => true,
      () => false,
    ),
  );
  // The recovery point stays as it was.
  await program('cmp', join(mounted.directory, 'sets/nightly/vm/latest/vda.raw'), raw);
});

test(`${KILLS} times the server is killed under load, and no client sees an error`, {
  skip: skip || noResend,
}, async () => {
  await using mounted = await mount();
  const { directory } = mounted;
  const disk = join(directory, 'sets/nightly/vm/latest/vda.raw');
  const over = new AbortController();
  const md5 = (await program('md5sum', raw)).slice(0, 32);
  let sums = 0;
  async function load(): Promise<void> {
    while (!over.signal.aborted) {
      const copied = await program(
        'sh',
        '-c',
        'dd if="$1" bs=1M iflag=direct status=none | md5sum',
        'sh',
        disk,
      );
      equal(copied.slice(0, 32), md5);
      sums++;
      await program('ls', '-lR', directory);
    }
  }
  const fio = program(
    'fio',
    ...['--name=load', `--filename=${disk}`, '--readonly', '--rw=randread', '--bs=4k'],
    ...['--ioengine=libaio', '--iodepth=8', '--direct=1', '--time_based', '--output-format=json'],
    `--runtime=${KILLS}`,
  );
  const loads = [load(), load()];
  for (let n = 0; n < KILLS; n++) {
    await sleep(700);
    const pid = await mounted.serverPid();
    process.kill(pid, 'SIGKILL');
    await until(
      'what the mount shows',
      async () => (await mounted.serverPid().catch(() => pid)) !== pid,
    );
  }
  over.abort();
  await Promise.all(loads);
  const [job] = JSON.parse(await fio).jobs;
  equal(job.error, 0);
  ok(job.read.total_ios > 0 && sums > 0);
});

test('on an old kernel readers of that moment get an error, and the next ones the bytes', {
  skip,
}, async () => {
  const directory = join(root, 'old');
  mkdirSync(directory);
  const restarts: string[] = [];
  const world = realWorld();
  const record = await readSet(await openStore(world, store), 'nightly');
  const set = await unlockSet(record, { kind: 'passphrase', passphrase: PASSPHRASE });
  const mounted = await mountStore({
    ...{ clock: world.clock, store, directory, resends: false, sets: [set] },
    onRestart: (how) => restarts.push(how),
  });
  const disk = join(directory, 'sets/nightly/vm/latest/vda.raw');
  for (let n = 1; n <= 3; n++) {
    await program('cmp', disk, raw);
    process.kill(mounted.serverPid, 'SIGKILL');
    await until('a restart', async () => restarts.length === n);
    await until('what the mount shows', () =>
      program('cmp', disk, raw).then(
        () => true,
        () => false,
      ),
    );
  }
  await mounted[Symbol.asyncDispose]();
  deepEqual([isMounted(directory), restarts], [false, ['SIGKILL', 'SIGKILL', 'SIGKILL']]);
});

test('it is unmounted though files are open, and nothing stays when its processes are killed', {
  skip,
}, async () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const { running, directory } = await mount();
    const reader = spawn(
      'sh',
      [
        '-c',
        'exec 5<"$1"; echo open; sleep 30; cat <&5',
        'sh',
        join(directory, 'sets/nightly/vm/latest/vda.raw'),
      ],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    await once(reader.stdout, 'data');
    await running.stop(signal);
    await until('the end of the mount', async () => !isMounted(directory));
    reader.kill('SIGKILL');
  }
});

test('what is left where both processes are killed at once is taken away by the next mount', {
  skip,
}, async () => {
  const { running, directory, serverPid } = await mount();
  const pid = await serverPid();
  process.kill(running.child.pid!, 'SIGSTOP');
  process.kill(pid, 'SIGKILL');
  await running.stop('SIGKILL');
  ok(isMounted(directory));
  await using again = await start('mount', directory);
  await program('cmp', join(directory, 'sets/nightly/vm/latest/vda.raw'), raw);
  equal(await again.stop('SIGTERM'), 0);
  equal(isMounted(directory), false);
});

test('what cannot be mounted is refused in words', { skip }, async () => {
  const full = join(root, 'full');
  mkdirSync(full);
  writeFileSync(join(full, 'file'), '');
  match((await holdfast('mount', full)).stderr, /not empty/);
  match((await holdfast('mount', join(root, 'none'))).stderr, /not a directory: create it first/);
  const empty = join(root, 'empty');
  mkdirSync(empty);
  match((await holdfast('mount', empty, '--set', 'none')).stderr, /no backup set "none"/);
  await using mounted = await mount();
  match((await holdfast('mount', mounted.directory)).stderr, /something is mounted/);
  writeFileSync(passphrase, 'wrong\n');
  try {
    const refused = await holdfast('mount', empty);
    match(refused.stderr, /not the passphrase/);
    equal(isMounted(empty), false);
  } finally {
    writeFileSync(passphrase, 'correct horse\n');
  }
  ok(existsSync(store));
});
