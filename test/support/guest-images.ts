import {
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import type { DiskFiles } from '../../src/file-restore/volumes/disk-files.ts';
import { program } from './programs.ts';
import { noise } from './random.ts';

/*
 * Disks as guests leave them: partitions with file systems and awkward files, made with the tools of the
 * file systems' own people.
 */

const MiB = 2 ** 20;
export const LONG_NAME = `${'ünïcødé-'.repeat(20)}日本.txt`;
export const KEY = 'the key of the guest';
/** The tests under SEEDS=1 are quick. */
export const MANY_FILES = process.env['SEEDS'] === '1' ? 2000 : 100_000;

/** Files that make tools stumble. `plain`: what FAT can hold too. */
export function makeTree(path: string, kind: 'full' | 'plain' = 'full'): string {
  mkdirSync(join(path, 'etc/deep/er'), { recursive: true });
  writeFileSync(join(path, 'etc/hostname'), 'guest\n');
  writeFileSync(join(path, 'etc/deep/er/file'), noise(70_001, 1));
  writeFileSync(join(path, 'etc/empty'), '');
  mkdirSync(join(path, 'home/übung'), { recursive: true });
  writeFileSync(join(path, 'home/übung', LONG_NAME), noise(300_000, 2));
  writeFileSync(join(path, 'home/übung/a b  c.txt'), 'spaces\n');
  if (kind === 'full') makeSpecials(path);
  // Whole and even seconds: what every file system can keep. Nothing here may follow a link out of the tree.
  spawnSync('find', ['-P', path, '-exec', 'touch', '-h', '-d', '@1700000000', '{}', '+']);
  return path;
}

/** All below `path`, through no links, sorted. */
export function namesBelow(path: string): string[] {
  const names = readdirSync(path, { withFileTypes: true }).flatMap((it) => [
    it.name,
    ...(it.isDirectory()
      ? namesBelow(join(path, it.name)).map((below) => `${it.name}/${below}`)
      : []),
  ]);
  return names.toSorted();
}

function makeSpecials(path: string): void {
  for (const name of ['-rf', '@file', 'new\nline', `quo"te's`, '*', 'back\\slash']) {
    writeFileSync(join(path, 'home', name), `${name}\n`);
  }
  linkSync(join(path, 'etc/hostname'), join(path, 'etc/hostname-too'));
  symlinkSync('/etc/hostname', join(path, 'home/absolute'));
  symlinkSync('../etc/deep', join(path, 'home/relative'));
  symlinkSync('../../../../../../etc', join(path, 'home/upwards'));
  symlinkSync('/home/circle', join(path, 'home/circle'));
  symlinkSync('/etc/passwd-of-nobody', join(path, 'home/nowhere'));
  const fd = openSync(join(path, 'sparse'), 'w');
  writeSync(fd, noise(5000, 3), 0, 5000, 24 * MiB);
  closeSync(fd);
  writeFileSync(join(path, 'etc/tool'), '#!/bin/sh\n', { mode: 0o755 });
  spawnSync('chmod', ['6755', join(path, 'etc/tool')]);
  spawnSync('chown', ['1234:5678', join(path, 'home/-rf')]);
  spawnSync('setfattr', ['-n', 'user.origin', '-v', 'somewhere', join(path, 'etc/hostname')]);
  spawnSync('setfacl', ['-m', 'u:1234:r', join(path, 'etc/deep/er/file')]);
  spawnSync('mkfifo', [join(path, 'etc/fifo')]);
}

/** Files called `file-000000` and so on, with their number in them. */
function makeManyFiles(path: string, count: number): void {
  mkdirSync(path, { recursive: true });
  for (let at = 0; at < count; at++) writeFileSync(join(path, nameOfMany(at)), `${at}\n`);
}

export function nameOfMany(at: number): string {
  return `file-${String(at).padStart(6, '0')}`;
}

/** What differs between two trees, contents and all that is attached; '' if nothing does. */
export async function differences(a: string, b: string, ...more: string[]): Promise<string> {
  const what = ['-aHAXn', '-i', '--checksum', '--delete', '--no-devices'];
  const lines = await program('rsync', ...what, ...more, `${a}/`, `${b}/`);
  // The top's own time is what made `lost+found` there.
  return lines.replace(/^\.d\.\.t\.+ \.\/\n/m, '');
}

function sized(path: string, sizeMiB: number): string {
  writeFileSync(path, '');
  truncateSync(path, sizeMiB * MiB);
  return path;
}

/** An ext2, ext3 or ext4 with what is in `tree`. */
export async function makeExt(
  path: string,
  { version = 'ext4', tree }: { version?: string; tree: string },
): Promise<string> {
  await program(`mkfs.${version}`, '-q', '-F', '-L', 'gu"est', '-d', tree, sized(path, 64));
  return path;
}

/** An ext4 with a file for each number below `count` in its directory `dir`. */
export async function makeCrowdedExt(path: string, tree: string, count: number): Promise<string> {
  makeManyFiles(join(tree, 'dir'), count);
  await program('mkfs.ext4', '-q', '-F', '-N', String(count + 5000), sized(path, 640));
  // By the kernel: mkfs looks through a whole directory for each new name.
  return filled(path, 'ext4', tree);
}

/** As the kernel of this machine writes it. */
export async function makeXfs(path: string, tree: string): Promise<string> {
  await program('mkfs.xfs', '-q', '-L', 'guest-xfs', sized(path, 320));
  return filled(path, 'xfs', tree);
}

/** With `tree` at its top and in a subvolume `sub`, and an empty default subvolume. */
export async function makeBtrfs(path: string, tree: string): Promise<string> {
  await program('mkfs.btrfs', '-q', '-L', 'guest-btrfs', sized(path, 256));
  return filled(path, 'btrfs', tree, async (mounted) => {
    await program('btrfs', 'subvolume', 'create', join(mounted, 'sub'));
    writeFileSync(join(mounted, 'sub/inner'), 'in the subvolume\n');
    await program('btrfs', 'subvolume', 'create', join(mounted, 'default'));
    await program('btrfs', 'subvolume', 'set-default', join(mounted, 'default'));
  });
}

async function filled(
  path: string,
  type: string,
  tree: string,
  more: (mounted: string) => Promise<void> = async () => {},
): Promise<string> {
  const mounted = `${path}.mounted`;
  mkdirSync(mounted, { recursive: true });
  await program('mount', '-t', type, '-o', 'loop', path, mounted);
  try {
    await program('rsync', '-aHAXS', `${tree}/`, `${mounted}/`);
    await more(mounted);
  } finally {
    await program('umount', mounted);
  }
  return path;
}

/** A FAT, without the kernel. */
export async function makeFat(path: string, tree: string): Promise<string> {
  await program('mkfs.vfat', '-F', '32', '-n', 'EFI', sized(path, 64));
  const tops = readdirSync(tree).map((name) => join(tree, name));
  // mtools writes names in the locale's characters.
  const env = { ...process.env, LC_ALL: 'C.UTF-8', MTOOLS_SKIP_CHECK: '1' };
  const { status, stderr } = spawnSync('mcopy', ['-s', '-m', '-i', path, ...tops, '::/'], { env });
  if (status !== 0) throw new Error(`mcopy: ${stderr.toString()}`);
  return path;
}

/** With an alternate stream `zone` of etc/hostname. */
export async function makeNtfs(path: string, tree: string): Promise<string> {
  await program('mkfs.ntfs', '-F', '-Q', '-q', '-L', 'Wïndows', sized(path, 64));
  const mounted = `${path}.mounted`;
  mkdirSync(mounted, { recursive: true });
  await program('ntfs-3g', path, mounted, '-o', 'streams_interface=xattr');
  try {
    await program('cp', '-r', '--preserve=timestamps', `${tree}/.`, mounted);
    await program('setfattr', '-n', 'user.zone', '-v', '3', join(mounted, 'etc/hostname'));
  } finally {
    await program('umount', mounted);
  }
  return path;
}

/** A disk of partitions that are files already; they go on being the partitions' files. */
export async function makeDisk(
  path: string,
  {
    label,
    parts,
  }: { label: 'gpt' | 'dos'; parts: readonly { readonly file: string; readonly type?: string }[] },
): Promise<DiskFiles> {
  const sizes = parts.map(({ file }) => statSync(file).size / MiB);
  sized(
    path,
    sizes.reduce((sum, size) => sum + size + 1, 2),
  );
  let start = 1;
  const lines = [`label: ${label}`];
  const places: number[] = [];
  for (const [at, { type = label === 'gpt' ? 'linux' : '83' }] of parts.entries()) {
    places.push(start);
    lines.push(`start=${start * 2048},size=${sizes[at]! * 2048},type=${type}`);
    start += sizes[at]! + 1;
  }
  await sfdisk(path, lines.join('\n'));
  for (const [at, { file }] of parts.entries()) {
    await program(
      'dd',
      `if=${file}`,
      `of=${path}`,
      'bs=1M',
      `seek=${places[at]}`,
      'conv=notrunc,sparse',
      'status=none',
    );
  }
  return diskFiles(path, new Map(parts.map(({ file }, at) => [at + 1, file])));
}

export function diskFiles(
  path: string,
  parts: ReadonlyMap<number, string> = new Map(),
  disk = 'vda',
): DiskFiles {
  return { disk, path, partition: (number) => parts.get(number) ?? `${path}-part${number}` };
}

export async function sfdisk(path: string, script: string, ...more: string[]): Promise<void> {
  await withInput(`${script}\n`, 'sfdisk', '-q', '--no-reread', ...more, path);
}

/** Runs commands in a libguestfs appliance with `paths` as its disks; answers what they print. */
export async function askGuestfish(
  paths: readonly string[],
  script: readonly string[],
): Promise<string> {
  const lines = [...paths.map((path) => `add-drive ${path} format:raw`), 'run', ...script, ''];
  return withInput(lines.join('\n'), 'guestfish', '--keys-from-stdin');
}

async function withInput(input: string, command: string, ...args: string[]): Promise<string> {
  const env = {
    ...process.env,
    LIBGUESTFS_BACKEND: 'direct',
    LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg',
  };
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (part: Buffer) => (stdout += part.toString()));
  child.stderr.on('data', (part: Buffer) => (stderr += part.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command}: ${stderr}`);
  return stdout;
}

/** Empty, and opened by KEY. A derivation that is no work: a VM without KVM does it too. */
export async function makeLuks(path: string, sizeMiB: number): Promise<string> {
  writeFileSync(`${path}.key`, KEY);
  const quick = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  await program('cryptsetup', 'luksFormat', '-q', ...quick, sized(path, sizeMiB), `${path}.key`);
  return path;
}

/** vda1: a volume group `vg-one` with `root` (ext4), `data` (`xfs`) and `swap`; vda2: LUKS2 with an ext4. */
export async function makeLayered(
  path: string,
  { tar, xfs }: { tar: string; xfs: string },
): Promise<DiskFiles> {
  const luks = await makeLuks(`${path}.luks`, 120);
  sized(path, 640);
  await sfdisk(path, 'label: gpt\nsize=480M,type=lvm\nsize=120M,type=linux');
  await askGuestfish(
    [path],
    [
      `upload ${luks} /dev/sda2`,
      ...['pvcreate /dev/sda1', 'vgcreate vg-one /dev/sda1'],
      ...['lvcreate root vg-one 80', 'lvcreate data vg-one 320', 'lvcreate swap vg-one 16'],
      ...[
        'mkfs ext4 /dev/vg-one/root',
        `upload ${xfs} /dev/vg-one/data`,
        'mkswap /dev/vg-one/swap',
      ],
      ...['mount /dev/vg-one/root /', `tar-in ${tar} / xattrs:true acls:true`, 'umount /'],
      ...['cryptsetup-open /dev/sda2 open', KEY, 'mkfs ext4 /dev/mapper/open'],
      ...['mount /dev/mapper/open /', `tar-in ${tar} /`, 'umount /'],
      'cryptsetup-close /dev/mapper/open',
    ],
  );
  return cutInto(path, 2);
}

/** Physical volumes of two groups, both called `rl`, each with a `root` whose file `who` names the disk. */
export async function makeTwins(one: string, two: string): Promise<void> {
  const script = [one, two].flatMap((path, at) => {
    const device = `/dev/sd${'ab'[at]}`;
    return [
      `lvm-set-filter ${device}`,
      ...[`pvcreate ${device}`, `vgcreate rl ${device}`, 'lvcreate root rl 20'],
      ...['mkfs ext4 /dev/rl/root', 'mount /dev/rl/root /', `write /who ${basename(path)}`],
      'umount-all',
    ];
  });
  await askGuestfish([sized(one, 40), sized(two, 40)], script);
}

/** A Btrfs whose data is striped over two disks. */
export async function makeStriped(one: string, two: string, tree: string): Promise<void> {
  await program('mkfs.btrfs', '-q', '-d', 'raid0', '-m', 'raid1', sized(one, 128), sized(two, 128));
  const loop = async (path: string): Promise<string> =>
    (await program('losetup', '--find', '--show', path)).trim();
  const devices = [await loop(one), await loop(two)];
  const mounted = `${one}.mounted`;
  mkdirSync(mounted, { recursive: true });
  try {
    const options = devices.map((device) => `device=${device}`).join(',');
    await program('mount', '-t', 'btrfs', '-o', options, devices[0]!, mounted);
    await program('rsync', '-aHAXS', `${tree}/`, `${mounted}/`);
    await program('umount', mounted);
  } finally {
    await program('losetup', '--detach', ...devices);
  }
}

/** The partitions of a disk as files beside it. */
export async function cutInto(path: string, count: number): Promise<DiskFiles> {
  const { stdout } = spawnSync('sfdisk', ['--json', path], { encoding: 'utf8' });
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { partitions: { start: number; size: number }[] };
  };
  const parts = new Map<number, string>();
  for (const [at, { start, size }] of partitiontable.partitions.slice(0, count).entries()) {
    const file = `${path}-part${at + 1}`;
    const place = [`skip=${start * 512}`, `count=${size * 512}`, 'iflag=skip_bytes,count_bytes'];
    await program(
      'dd',
      `if=${path}`,
      `of=${file}`,
      'bs=1M',
      ...place,
      'conv=sparse',
      'status=none',
    );
    truncateSync(file, size * 512);
    parts.set(at + 1, file);
  }
  return diskFiles(path, parts);
}

/** As a guest leaves it that loses its power: the last changes are in the journal only. */
export async function makeDirty(path: string, from: string): Promise<string> {
  copyFileSync(from, path);
  const mounted = `${path}.mounted`;
  mkdirSync(mounted, { recursive: true });
  await program('mount', '-t', 'ext4', '-o', 'loop', path, mounted);
  try {
    writeFileSync(join(mounted, 'late'), 'written just before\n');
    await program('sync', '-f', mounted);
    copyFileSync(path, `${path}.torn`);
  } finally {
    await program('umount', mounted);
  }
  return `${path}.torn`;
}
