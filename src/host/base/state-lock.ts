import { join } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';

/** Root's own directory, for what is not to be lost between two programs (systemd/holdfast.tmpfiles.conf). */
export const STATE_DIRECTORY = '/var/lib/holdfast-host';

/**
 * Does it while nobody else does anything under that lock, in this process or another one: root's commands work on
 * the machine themselves where no service answers. Rejects BUSY, naming who has it.
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
