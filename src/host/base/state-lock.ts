import { join } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';

/** Root's own directory, for state that must survive between two programs (systemd/holdfast.tmpfiles.conf). */
export const STATE_DIRECTORY = '/var/lib/holdfast-host';

/**
 * Runs `work` while no other caller holds that lock, in this process or another: where no service answers, root's
 * commands work on the machine themselves. Rejects BUSY, naming the holder.
 */
export async function locked<T>(
  files: FileSystem,
  { path, holder }: { readonly path: string; readonly holder: string },
  work: () => Promise<T>,
): Promise<T> {
  await files.makeDirectory(STATE_DIRECTORY, 'private');
  await using _held = await files.lock(path, holder);
  return await work();
}

export const lockPath = (name: string): string => join(STATE_DIRECTORY, `${name}.lock`);
