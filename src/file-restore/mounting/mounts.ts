import { GranularError, type GranularErrorCode } from '../base/file-restore-error.ts';
import { exitCode, lastWords, runProgram, startProgram } from '../base/programs.ts';
import { KERNEL_DRIVERS } from '../volumes/drivers.ts';
import type { Volume } from '../volumes/volumes.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { VolumeKind } from '../volumes/volume-kinds.ts';

/*
 * Volumes as directories, read-only and without replaying a journal: they show what is on the disk. Even if something
 * hangs, a mount can be removed.
 */

export interface MountOptions {
  readonly clock: Clock;
  /** The kernel follows no links in it: for mounts that only this program reads. */
  readonly noFollow: boolean;
  readonly signal?: AbortSignal;
}

/** Disposing unmounts it, even with open files, which can then no longer be read. */
export interface MountedVolume extends AsyncDisposable {
  readonly volume: Volume;
  readonly path: string;
}

const MOUNT_MS = 60_000;
const UNMOUNT_MS = 15_000;
const POLL_MS = 30;
/**
 * A limit as a part of the host's memory, not an amount that is reserved. Replaying a journal may take a GiB; several
 * restores may be open, in a service that gets 40 %.
 */
const MEMORY_SIZE = '12%';
const NTFS_MEMORY_MAX = 2 * 1024 * 1024 * 1024;
const FLAGS = ['ro', 'nosuid', 'nodev', 'noexec'];

/** Added to `ro,loop,nosuid,nodev,noexec`. */
const KERNEL_OPTIONS: Readonly<Partial<Record<VolumeKind, readonly string[]>>> = {
  // An image may request a kernel panic on errors.
  ext2: ['errors=continue'],
  ext3: ['noload', 'errors=continue'],
  ext4: ['noload', 'errors=continue'],
  // The same file system may be mounted from another recovery point.
  xfs: ['norecovery', 'nouuid'],
  // The top level, with all subvolumes in it.
  btrfs: ['rescue=nologreplay', 'subvolid=5'],
  vfat: ['utf8', 'dmask=0077', 'fmask=0177', 'errors=continue'],
  exfat: ['dmask=0077', 'fmask=0177', 'errors=continue'],
  iso9660: ['mode=0600', 'dmode=0700'],
  udf: ['mode=0600', 'dmode=0700'],
};

/** Alternate streams as attributes `user.STREAM`. Owners in NTFS have no meaning here. */
const NTFS_OPTIONS = [
  ...FLAGS,
  ...['norecover', 'streams_interface=xattr', 'dmask=0077', 'fmask=0177', 'no_detach'],
];

/**
 * Mounts a volume whose driver is `kernel` or `ntfs-3g` at the existing directory `path`. Rejects UNREADABLE if the
 * driver refuses it, DENIED without root, and as programs do; nothing is mounted then.
 */
export async function mountVolume(
  volume: Volume,
  path: string,
  options: MountOptions,
): Promise<MountedVolume> {
  try {
    return volume.driver.kind === 'ntfs-3g'
      ? await mountNtfs(volume, path, options)
      : await mountByKernel(volume, path, options);
  } catch (cause) {
    // A killed program may already have mounted it.
    await unmount(path).catch(() => {});
    throw cause;
  }
}

/** Shows the directory `from` at `path` too, with the flags that all mounts have. */
export async function bindMount(
  from: string,
  path: string,
  { noFollow, signal }: MountOptions,
): Promise<AsyncDisposable> {
  const limits = { timeoutMs: MOUNT_MS, ...(signal && { signal }) };
  const bound = await runProgram('mount', ['--bind', '--', from, path], limits);
  if (bound.code !== 0) throw refused(`${path} cannot be mounted`, bound.stderr);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => unmount(path));
  await restrict(path, { noFollow, limits });
  return stack.move();
}

/** Mounts an empty directory in memory at the existing `path`, for an appliance's writes: at most `MEMORY_SIZE`. */
export async function mountMemory(path: string): Promise<void> {
  const options = `mode=0700,size=${MEMORY_SIZE},nosuid,nodev,noexec`;
  const args = [
    '--internal-only',
    '--types',
    'tmpfs',
    '--options',
    options,
    '--',
    'holdfast',
    path,
  ];
  const { code, stderr } = await runProgram('mount', args, { timeoutMs: MOUNT_MS });
  if (code !== 0) throw refused(`${path} cannot be mounted`, stderr);
}

/**
 * Removes any mount at `path`; nothing mounted is not an error. Files that programs have open keep a loop device and
 * a driver alive until they end, unseen.
 */
export async function unmount(path: string): Promise<void> {
  // Without helper programs, and without looking at the mount itself: it may be dead.
  const words = ['--internal-only', '--no-canonicalize', '--', path];
  const limits = { timeoutMs: UNMOUNT_MS };
  const tried = await runProgram('umount', words, limits).catch(() => undefined);
  if (tried?.code === 0 || (tried && isGone(tried.stderr))) return;
  const { code, stderr } = await runProgram('umount', ['--lazy', ...words], limits);
  if (code === 0 || isGone(stderr)) return;
  throw new GranularError('FAILED', `cannot unmount ${path}: ${lastWords(stderr)}`);
}

function isGone(stderr: string): boolean {
  return /not mounted|no mount point specified|not found|No such file/.test(stderr);
}

async function mountByKernel(
  volume: Volume,
  path: string,
  { noFollow, signal }: MountOptions,
): Promise<MountedVolume> {
  const { kind, place } = volume;
  const driver = KERNEL_DRIVERS[kind];
  if (place.kind !== 'partition' || driver === undefined) throw notMountable(volume);
  // The loop device disappears with the last user of the mount, even if this process is gone by then.
  const flags = [...FLAGS, 'loop', ...(noFollow ? ['nosymfollow'] : [])];
  const words = [...flags, ...(KERNEL_OPTIONS[kind] ?? [])].join(',');
  // With an explicit type: guessing would expose the disk to every driver.
  const args = ['--internal-only', '--types', driver, '--options', words, '--', place.path, path];
  const { code, stderr } = await runProgram('mount', args, {
    timeoutMs: MOUNT_MS,
    ...(signal && { signal }),
  });
  if (code !== 0) throw refused(`${volume.name} (${volume.found}) cannot be mounted`, stderr);
  return { volume, path, [Symbol.asyncDispose]: () => unmount(path) };
}

async function mountNtfs(
  volume: Volume,
  path: string,
  { clock, noFollow, signal }: MountOptions,
): Promise<MountedVolume> {
  const { place } = volume;
  if (place.kind !== 'partition') throw notMountable(volume);
  const limits = { timeoutMs: MOUNT_MS, ...(signal && { signal }) };
  // In the foreground: it dies with us, together with its mount.
  const driver = await startProgram('ntfs-3g', [place.path, path, '-o', NTFS_OPTIONS.join(',')], {
    memoryMax: NTFS_MEMORY_MAX,
  });
  await using stack = new AsyncDisposableStack();
  stack.use(driver);
  driver.stdin.end();
  driver.stdout.resume();
  let isRunning = true;
  void driver.ended.then(() => (isRunning = false));
  for (const until = clock.monotonicMs() + MOUNT_MS; !(await isMounted(path, limits)); ) {
    if (!isRunning) {
      exitCode('ntfs-3g', await driver.ended);
      throw refused(`${volume.name} (ntfs) cannot be mounted`, driver.stderr());
    }
    if (clock.monotonicMs() > until) {
      throw new GranularError('TIMEOUT', `ntfs-3g does not get ${volume.name} mounted`);
    }
    await clock.sleep(POLL_MS, signal);
  }
  await restrict(path, { noFollow, limits });
  const owned = stack.move();
  return {
    volume,
    path,
    async [Symbol.asyncDispose]() {
      await unmount(path);
      await owned.disposeAsync();
    },
  };
}

interface Limits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

async function isMounted(path: string, limits: Limits): Promise<boolean> {
  const args = ['--noheadings', '--output', 'TARGET', '--mountpoint', path];
  return (await runProgram('findmnt', args, limits)).code === 0;
}

/** Sets flags that FUSE does not set itself. */
async function restrict(
  path: string,
  { noFollow, limits }: { readonly noFollow: boolean; readonly limits: Limits },
): Promise<void> {
  const flags = ['remount', 'bind', ...FLAGS, ...(noFollow ? ['nosymfollow'] : [])].join(',');
  const args = ['--internal-only', '--no-canonicalize', '--options', flags, '--', path];
  const { code, stderr } = await runProgram('mount', args, limits);
  if (code !== 0) throw refused(`${path} cannot be restricted`, stderr);
}

function notMountable({ name, found, driver }: Volume): GranularError {
  const why = driver.kind === 'none' ? driver.reason : `${found} needs an appliance`;
  return new GranularError('UNSUPPORTED', `${name} cannot be opened: ${why}`);
}

function refused(what: string, stderr: string): GranularError {
  const isRights = /must be superuser|permission denied|not permitted/i.test(stderr);
  const code: GranularErrorCode = isRights ? 'DENIED' : 'UNREADABLE';
  return new GranularError(code, `${what}: ${lastWords(stderr)}`);
}
