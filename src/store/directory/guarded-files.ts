import { resolve } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { StoreError } from '../packs/store-error.ts';

/**
 * Directories to which a recovery writes, and a boot that only proves one: its records and overlays, and the lease on
 * its recovery point.
 */
const RECOVERY = ['sessions', 'leases', 'verify'] as const;

/**
 * The files of a process that has the store open. If the store has a feature that writers need and this release does
 * not know, only the files that a recovery writes, and locks, may change in its directory: every other change is
 * DENIED, naming the feature. So no writer can be forgotten.
 */
export function guardedFiles(
  files: FileSystem,
  { directory, checkWritable }: { readonly directory: string; checkWritable(): void },
): FileSystem {
  const own = resolve(directory);
  const free = RECOVERY.map((name) => `${own}/${name}/`);

  function check(path: string): void {
    const whole = resolve(path);
    if (whole !== own && !whole.startsWith(`${own}/`)) return;
    if (free.some((prefix) => whole.startsWith(prefix))) return;
    try {
      checkWritable();
    } catch (cause) {
      if (!(cause instanceof StoreError)) throw cause;
      throw new SystemError('DENIED', `${path}: ${cause.message}`, { cause });
    }
  }
  return {
    ...files,
    async create(path, access) {
      check(path);
      return files.create(path, access);
    },
    async open(path, access) {
      if (access !== 'read') check(path);
      return files.open(path, access);
    },
    async rename(from, to) {
      for (const path of [from, to]) check(path);
      return files.rename(from, to);
    },
    async unlink(path) {
      check(path);
      return files.unlink(path);
    },
    async removeTree(path) {
      check(path);
      return files.removeTree(path);
    },
    async makeDirectory(path, access) {
      // An existing directory is not created.
      if ((await files.stat(path))?.kind !== 'directory') check(path);
      return files.makeDirectory(path, access);
    },
  };
}
