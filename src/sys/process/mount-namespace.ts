import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path/posix';
import { libc } from '../base/libc.ts';
import { isSuperuser, runOrFail } from './run.ts';
import { SystemError, systemError } from '../base/system-error.ts';

const CLONE_NEWNS = 0x00020000;
const MOUNT_MS = 30_000;
/**
 * The place holds directories, and what the VMs that open disks write: replaying a journal may take a GiB. This is a
 * limit; nothing is reserved.
 */
const PLACE_SIZE = '25%';

/**
 * From now on, mounts made by this process and by the programs that it starts are visible only to them, and all of it
 * is gone when the last of them has ended, in any way. `place` (made if necessary) then is an empty directory in
 * memory that is gone with it. Call it once for a process, on its main thread and before it starts other programs; it
 * cannot be undone.
 *
 * Threads that Node had before (its pool for asynchronous files) stay outside and see none of this: the mounts are
 * for started programs, not for this process.
 */
export async function enterPrivateMounts(place: string): Promise<void> {
  if (!isSuperuser()) throw new SystemError('DENIED', 'only root may mount: run this as root');
  try {
    // Other users need the parents, too: they are not made private.
    mkdirSync(dirname(place), { recursive: true });
    mkdirSync(place, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw systemError(cause, `create ${place}`);
  }
  if (libc().unshare(CLONE_NEWNS) !== 0) {
    throw new SystemError('DENIED', `mounts of its own: errno ${libc().errno()}; run this as root`);
  }
  // Mounts made here must not show up in the namespace that we come from; unmounts there must reach this one too, or
  // the device would stay in use for as long as this process runs.
  await runOrFail('mount', ['--make-rslave', '/'], { timeoutMs: MOUNT_MS });
  const options = `mode=0700,size=${PLACE_SIZE},nosuid,nodev,noexec`;
  await runOrFail('mount', ['-t', 'tmpfs', '-o', options, 'holdfast', place], {
    timeoutMs: MOUNT_MS,
  });
}
