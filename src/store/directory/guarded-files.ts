import { resolve } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { StoreError } from '../packs/store-error.ts';

/** What a recovery writes: its records and overlays, and that its recovery point is in use. */
const RECOVERY = ['sessions', 'leases'] as const;

/**
 * The files of a process that has the store open. Where the store has a feature that writers need and this release does
 * not know, nothing in its directory changes but what a recovery writes, and locks: every call that would is DENIED,
 * naming the feature. So no writer can be forgotten.
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
      // One that is there is not made.
      if ((await files.stat(path))?.kind !== 'directory') check(path);
      return files.makeDirectory(path, access);
    },
  };
}
