import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path/posix';
import { libc } from '../base/libc.ts';
import { isSuperuser, runOrFail } from './run.ts';
import { SystemError, systemError } from '../base/system-error.ts';

const CLONE_NEWNS = 0x00020000;
const MOUNT_MS = 30_000;
/**
 * It holds directories, and what VMs write that look into disks: a journal that is replayed may have a GiB. A limit of
 * what is used, not an amount that is set aside.
 */
const PLACE_SIZE = '25%';

/**
 * From here on nobody else sees what is mounted by this process and by the programs that it starts, and all
 * of it is gone when the last of them has ended, in whatever way. `place` (made if need be) then is an empty
 * directory in memory that is gone with it. Once for a process, on its main thread and before it starts other
 * programs; for good.
 *
 * Threads that Node had before (its pool for asynchronous files) stay outside and see nothing of this:
 * what is mounted here is for started programs, not for this process.
 */
export async function enterPrivateMounts(place: string): Promise<void> {
  if (!isSuperuser()) throw new SystemError('DENIED', 'only root may mount: run this as root');
  try {
    // What lies above belongs to others too.
    mkdirSync(dirname(place), { recursive: true });
    mkdirSync(place, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw systemError(cause, `make ${place}`);
  }
  if (libc().unshare(CLONE_NEWNS) !== 0) {
    throw new SystemError('DENIED', `mounts of its own: errno ${libc().errno()}; run this as root`);
  }
  // What is mounted here must not show up in the namespace that we come from; what is unmounted there must go here too,
  // or its device would stay in use for as long as this process runs.
  await runOrFail('mount', ['--make-rslave', '/'], { timeoutMs: MOUNT_MS });
  const options = `mode=0700,size=${PLACE_SIZE},nosuid,nodev,noexec`;
  await runOrFail('mount', ['-t', 'tmpfs', '-o', options, 'holdfast', place], {
    timeoutMs: MOUNT_MS,
  });
}
