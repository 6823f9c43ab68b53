import { dirname, join } from 'node:path/posix';
import { SystemError } from '../sys/base/system-error.ts';
import { isOwnDirectory } from '../sys/files/private-files.ts';
import type { World } from '../sys/world.ts';

/* A directory of this user in which processes change files in turn: commands, and processes of the service. */

const LOCK = 'lock';
/** A change takes a few syncs; even a slow disk is done by then. */
const LOCK_WAIT_MS = 10_000;
const LOCK_POLL_MS = 10;

type Effects = Pick<World, 'files' | 'clock'>;

/** Makes it if it is missing. Rejects DENIED if it belongs to another user. */
export async function makeOwnDirectory(
  { files }: Pick<Effects, 'files'>,
  directory: string,
): Promise<void> {
  if (!(await files.stat(directory))) {
    await files.makeDirectory(directory);
    await files.syncDirectory(dirname(directory));
  }
  // Root can read the directory of the service; but a file of root's in it would lock the service out.
  if (isOwnDirectory(directory)) return;
  throw new SystemError(
    'DENIED',
    `${directory} belongs to another user: nothing was written there`,
  );
}

/** Runs `work` while no other process changes anything in the directory. Rejects BUSY after some seconds. */
export async function inTurn<T>(
  { files, clock }: Effects,
  { directory, holder }: { readonly directory: string; readonly holder: string },
  work: () => Promise<T>,
): Promise<T> {
  const untilMs = clock.sinceBootMs() + LOCK_WAIT_MS;
  for (;;) {
    try {
      await using _lock = await files.lock(join(directory, LOCK), holder);
      return await work();
    } catch (cause) {
      const isBusy = cause instanceof SystemError && cause.code === 'BUSY';
      if (!isBusy || clock.sinceBootMs() > untilMs) throw cause;
      await clock.sleep(LOCK_POLL_MS);
    }
  }
}
