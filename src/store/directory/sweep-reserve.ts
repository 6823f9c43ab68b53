import { join } from 'node:path/posix';
import { MiB } from '../../lib/sizes.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Store } from './store.ts';

/*
 * Space that is taken in advance for sweeps: on a disk without a free byte a sweep has to record what it removes before
 * it can give any space back. The records of a slice take some 100 KiB.
 */
const NAME = 'sweep-reserve';
const LENGTH_MAX = 32 * MiB;
/** Limits the reserve on a small disk. */
const SHARE = 512;
/** The reserve is taken only while so many times its length is free. */
const FREE_FACTOR = 4;

/** Takes the reserve if it is missing and the disk has space for it. The caller holds the store's lock. */
export async function takeReserve({ files, directory }: Store): Promise<void> {
  const path = join(directory, NAME);
  if (await files.stat(path)) return;
  const { totalBytes, freeBytes } = await files.space(directory);
  const length = Math.min(LENGTH_MAX, Math.floor(totalBytes / SHARE));
  if (freeBytes < FREE_FACTOR * length) return;
  try {
    await using file = await files.create(path);
    await file.allocate(0, length);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    await freeReserve({ files, directory });
  }
}

/** Frees it. False: there is none. The caller holds the store's lock. */
export async function freeReserve({
  files,
  directory,
}: Pick<Store, 'files' | 'directory'>): Promise<boolean> {
  const path = join(directory, NAME);
  if (!(await files.stat(path))) return false;
  await files.unlink(path);
  await files.syncDirectory(directory);
  return true;
}
