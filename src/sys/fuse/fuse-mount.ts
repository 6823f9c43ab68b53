import { closeSync, constants, openSync } from 'node:fs';
import { promises } from 'node:fs';
import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, runOrFail } from '../process/run.ts';
import { SystemError, systemError } from '../base/system-error.ts';

/**
 * A FUSE mount, held by a process that does not serve it: the server gets the descriptor and may die. The holding
 * process must touch nothing below `directory`, or it would wait for its own answer.
 */
export interface FuseMount {
  readonly directory: string;
  /** A descriptor of /dev/fuse, for the server's `stdio`. */
  readonly fd: number;
  /** Once a server answers: allows the kernel to read ahead as much as one request can hold. */
  readAhead(): Promise<void>;
  /** See `unmountFuse`. */
  end(isServed: boolean): Promise<void>;
}

export interface FuseMountOptions {
  /** Shown by mount(8) in place of a device. */
  readonly source: string;
}

/** How the descriptor is opened: see `fuse-device.ts`. */
export const FUSE_OPEN_FLAGS = constants.O_RDWR | constants.O_NONBLOCK;
const MOUNT_TIMEOUT_MS = 30_000;
const LOOK_TIMEOUT_MS = 5000;
const READ_AHEAD_KIB = 1024;
const MOUNTS_PATH = '/proc/self/mountinfo';

/**
 * The mount is there at once, but mount(8) may wait for the server's first answer: `mounted` resolves when that has
 * succeeded. Rejects DENIED without the right to mount, NOT_FOUND without FUSE in the kernel.
 */
export function openFuseMount(
  directory: string,
  { source }: FuseMountOptions,
): { readonly mount: FuseMount; readonly mounted: Promise<void> } {
  let fd: number;
  try {
    fd = openSync('/dev/fuse', FUSE_OPEN_FLAGS);
  } catch (cause) {
    throw systemError(cause, 'open /dev/fuse');
  }
  const options = [
    'fd=3,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions',
    'nosuid,nodev,noexec',
  ].join(',');
  const mounted = runOrFail(
    'mount',
    ['-i', '-t', 'fuse.holdfast', '-o', options, source, directory],
    {
      timeoutMs: MOUNT_TIMEOUT_MS,
      descriptors: [fd],
    },
  ).then(
    () => {},
    (cause: Error) => {
      if (!cause.message.includes('must be superuser')) throw cause;
      throw new SystemError('DENIED', 'only root may mount: run this as root', { cause });
    },
  );
  let ended: Promise<void> | undefined;
  const mount: FuseMount = {
    directory,
    fd,
    async readAhead() {
      const device = await mountedDevice(directory);
      if (device === undefined) return;
      const path = `/sys/class/bdi/${device}/read_ahead_kb`;
      // Some systems do not allow us to set it; then the kernel just reads less ahead.
      await promises.writeFile(path, String(READ_AHEAD_KIB)).catch(() => {});
    },
    end: (isServed) => (ended ??= end(isServed)),
  };

  async function end(isServed: boolean): Promise<void> {
    try {
      if (isServed) await mounted.catch(() => {});
      await unmountFuse(directory, isServed);
    } finally {
      closeSync(fd);
    }
  }
  return { mount, mounted };
}

const TRIES = 3;
const PAUSE_MS = 100;

/**
 * Unmounts. Processes that still have files open there get errors from then on. If nothing is mounted there, that is
 * not an error. If the server has gone, processes that wait for an answer are released first.
 */
export async function unmountFuse(directory: string, isServed: boolean): Promise<void> {
  for (let tries = 0; ; tries++) {
    if ((await mountedDevice(directory)) === undefined) return;
    const isStubborn = tries >= TRIES || !isServed;
    // Still in use after a while: -f fails every request from now on (and reports that the mount is busy), and -l
    // removes it once nothing uses it.
    if (isStubborn) await umount(directory, '-f');
    const { code, stderr } = await umount(directory, ...(isStubborn ? ['-l'] : []));
    if (code === 0) continue;
    if (tries > 2 * TRIES) throw new SystemError('BUSY', `umount ${directory}: ${stderr.trim()}`);
    await sleep(PAUSE_MS);
  }
}

/** Removes a mount whose processes have all died; returns whether there was one. */
export async function clearDeadMount(directory: string): Promise<boolean> {
  if ((await mountedDevice(directory)) === undefined) return false;
  // In another process: a mount whose server hangs would hang this one, too.
  const { code, stderr } = await run('stat', ['-f', '--', directory], {
    timeoutMs: LOOK_TIMEOUT_MS,
    environment: { LC_ALL: 'C' },
  });
  if (code === 0 || !stderr.includes('Transport endpoint is not connected')) return false;
  await unmountFuse(directory, false);
  return true;
}

/** Does not touch the mounted file system: its server may not answer. */
function umount(directory: string, ...how: string[]) {
  return run('umount', [...how, '-c', '-i', directory], { timeoutMs: MOUNT_TIMEOUT_MS });
}

/** MAJOR:MINOR of the mount at `directory`, found without touching it (proc_pid_mountinfo(5)). */
export async function mountedDevice(directory: string): Promise<string | undefined> {
  const lines = (await promises.readFile(MOUNTS_PATH, 'utf8')).split('\n');
  const fields = lines.map((line) => line.split(' '));
  return fields.findLast(
    ([, , , , where]) => where !== undefined && unescaped(where) === directory,
  )?.[2];
}

/** Decodes spaces and the like, which are written as \040. */
function unescaped(path: string): string {
  return path.replace(/\\(\d{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Since Linux 6.9 the kernel can resend requests that a dead server had taken. */
export function kernelResends(): boolean {
  const [major, minor] = release().split('.').map(Number) as [number, number];
  return major > 6 || (major === 6 && minor >= 9);
}
