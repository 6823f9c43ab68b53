import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'tap';
import {
  beginOpenRestore,
  closeOpenRestore,
  listOpenRestores,
  sweepOpenRestores,
} from '../../../src/file-restore/mounting/open-restores.ts';
import { openVolumes } from '../../../src/file-restore/mounting/opened-volumes.ts';
import { isSuperuser } from '../../../src/sys/process/run.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { diskFiles, makeDisk, makeExt, makeNtfs, makeTree } from '../../support/guest-images.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const skip = without('sfdisk', 'mkfs.ntfs', 'ntfs-3g') || (!isSuperuser() && 'only root may mount');
const directory = temporaryDirectory();
const world = realWorld();
const [ext4, ntfs] = [join(directory, 'ext4'), join(directory, 'ntfs')];
const disk = join(directory, 'disk');
if (skip === false) {
  const [tree, plain] = [join(directory, 'tree'), join(directory, 'plain')];
  for (const path of [tree, plain]) mkdirSync(path);
  await makeExt(ext4, { tree: makeTree(tree) });
  await makeNtfs(ntfs, makeTree(plain, 'plain'));
  await makeDisk(disk, { label: 'gpt', parts: [{ file: ext4 }, { file: ntfs }] });
}
const files = diskFiles(
  disk,
  new Map([
    [1, ext4],
    [2, ntfs],
  ]),
);

function leftovers(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const loops = spawnSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], {
    encoding: 'utf8',
  });
  const running = spawnSync('pgrep', ['-af', 'ntfs-3g'], { encoding: 'utf8' });
  return [...mounts, ...loops.stdout.split('\n'), ...running.stdout.split('\n')].filter((line) =>
    line.includes(directory),
  );
}

async function nothingIsLeft(): Promise<void> {
  await until('the end of mounts, loop devices and programs', () => leftovers().length === 0);
}

/** statfs(2). */
const TMPFS_MAGIC = 0x01021994;

async function open(state: string, at?: string) {
  const restore = await beginOpenRestore(world, state, { point: 'web1-1', at });
  const volumes = await openVolumes([files], {
    directory: restore.at,
    work: restore.work,
    isolated: false,
    noFollow: false,
    wanted: undefined,
    disk: undefined,
    clock: world.clock,
    keys: async () => undefined,
    onDirectories: (directories) => restore.note({ directories }),
  });
  return { restore, volumes };
}

test('what a restore will mount is on record before it is mounted, and off it after', {
  skip,
}, async () => {
  const state = join(directory, 'state');
  const { restore, volumes } = await open(state);
  equal(volumes.mounted.length, 2);
  equal(readFileSync(join(restore.at, 'vda1/etc/hostname'), 'utf8'), 'guest\n');
  const [{ record, isRunning } = { record: undefined, isRunning: false }] = await listOpenRestores(
    world.files,
    state,
  );
  deepEqual(
    [record?.id, record?.point, record?.owner.pid, isRunning],
    [restore.id, 'web1-1', process.pid, true],
  );
  deepEqual(
    record?.directories.filter((path) => path.includes('vda')),
    [`${restore.at}/vda1`, `${restore.at}/vda2`],
  );
  // F23: what a journal is replayed into, and not the host's /run.
  const { type, blocks, bsize } = statfsSync(restore.work);
  deepEqual([type, blocks * bsize > 64 * 2 ** 20], [TMPFS_MAGIC, true]);
  deepEqual(await sweepOpenRestores(world.files, state), [], 'a living one is left alone');
  await volumes[Symbol.asyncDispose]();
  await restore[Symbol.asyncDispose]();
  deepEqual(readdirSync(state), []);
  await nothingIsLeft();
});

test('a directory of the administrator is used if it is empty, and left as it was', {
  skip,
}, async () => {
  const state = join(directory, 'state');
  const at = join(directory, 'at');
  mkdirSync(join(at, 'x'), { recursive: true });
  await rejects(beginOpenRestore(world, state, { point: 'p', at }), {
    code: 'DENIED',
    message: /not an empty/,
  });
  const own = join(at, 'x');
  const { restore, volumes } = await open(state, own);
  deepEqual(readdirSync(own), ['vda1', 'vda2']);
  await volumes[Symbol.asyncDispose]();
  await restore[Symbol.asyncDispose]();
  deepEqual(readdirSync(own), []);
});

const OWNER = `
  import { beginOpenRestore } from './src/file-restore/mounting/open-restores.ts';
  import { openVolumes } from './src/file-restore/mounting/opened-volumes.ts';
  import { realWorld } from './src/sys/world.ts';
  const [state, path, ...parts] = process.argv.slice(1);
  const world = realWorld();
  const restore = await beginOpenRestore(world, state, { point: 'p', at: undefined });
  const volumes = await openVolumes([{ disk: 'vda', path, partition: (n) => parts[n - 1] }], {
    directory: restore.at, work: restore.work, isolated: false, noFollow: false, wanted: undefined,
    disk: undefined, clock: world.clock, keys: async () => undefined,
    onDirectories: (directories) => restore.note({ directories }),
  });
  process.once('SIGTERM', async () => {
    await volumes[Symbol.asyncDispose]();
    await restore[Symbol.asyncDispose]();
    process.exit(0);
  });
  console.log(JSON.stringify(restore.id));
  setInterval(() => {}, 1000);
`;

/** Its first line, once it has one. */
async function firstLine(child: ChildProcess): Promise<unknown> {
  for await (const line of createInterface(child.stdout!)) return JSON.parse(line) as unknown;
  throw new Error('it ended without a line');
}

async function owner(state: string): Promise<{ child: ChildProcess; id: string }> {
  const args = ['--input-type=module', '-e', OWNER, state, disk, ext4, ntfs];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  return { child, id: (await firstLine(child)) as string };
}

test('what a killed process left is found and taken away by another', { skip }, async () => {
  const state = join(directory, 'killed');
  const { child, id } = await owner(state);
  equal(leftovers().length > 3, true);
  const held = spawn('sleep', ['60'], { cwd: join(state, id, 'volumes/vda1') });
  child.kill('SIGKILL');
  await once(child, 'exit');
  deepEqual(
    (await listOpenRestores(world.files, state)).map(({ isRunning }) => isRunning),
    [false],
  );
  deepEqual(await sweepOpenRestores(world.files, state), [id]);
  deepEqual(readdirSync(state), []);
  equal(
    readFileSync('/proc/self/mountinfo', 'utf8').includes(state),
    false,
    'also under a shell that is in it',
  );
  held.kill('SIGKILL');
  await once(held, 'exit');
  await nothingIsLeft();
});

test('closing asks the process that has it open', { skip }, async () => {
  const state = join(directory, 'closed');
  const { child, id } = await owner(state);
  await closeOpenRestore(world, state, id);
  deepEqual(readdirSync(state), []);
  if (child.exitCode === null) await once(child, 'exit');
  equal(child.exitCode, 0);
  await rejects(closeOpenRestore(world, state, id), { code: 'NOT_FOUND' });
  await nothingIsLeft();
});

test('a record of another start of this host is only removed', { skip }, async () => {
  const state = join(directory, 'rebooted');
  const { restore, volumes } = await open(state);
  const path = join(state, `${restore.id}.json`);
  const text = readFileSync(path, 'utf8');
  await volumes[Symbol.asyncDispose]();
  await restore[Symbol.asyncDispose]();
  writeFileSync(path, text.replace(/"boot": "[^"]*"/, '"boot": "another"'));
  mkdirSync(join(state, restore.id, 'disks'), { recursive: true });
  deepEqual(await sweepOpenRestores(world.files, state), [restore.id]);
  deepEqual(readdirSync(state), []);
  writeFileSync(join(state, 'ffffffff.json'), '{"format": "something else"}');
  await rejects(sweepOpenRestores(world.files, state), {
    code: 'FAILED',
    message: /is not a record/,
  });
  equal(existsSync(join(state, 'ffffffff.json')), true);
});

test('a process with mounts of its own leaves nothing, even when it is killed', {
  skip,
}, async () => {
  const place = join(directory, 'place');
  const script = new URL('../../support/one-shot.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, place, disk, ext4, ntfs], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const names = (await firstLine(child)) as string[];
  deepEqual(names, [
    'vda1:etc',
    'vda1:home',
    'vda1:lost+found',
    'vda1:sparse',
    'vda2:etc',
    'vda2:home',
  ]);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  equal(mounts.includes(directory), false, 'no other process sees them');
  const own = readFileSync(`/proc/${child.pid}/mountinfo`, 'utf8');
  match(own, /place\/volumes\/vda2/);
  const size = /^.*\/place .* tmpfs .*\bsize=(\d+)k/m.exec(own)?.[1];
  equal(Number(size) > 64 * 1024, true, 'room for a journal that is replayed');
  child.kill('SIGKILL');
  await once(child, 'exit');
  await nothingIsLeft();
  deepEqual(readdirSync(place), []);
});
