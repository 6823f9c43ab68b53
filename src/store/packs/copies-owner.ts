import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import { copiesFile } from '../../formats/store/packs/copies.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';

/*
 * Another disk may be mounted at `copies`, and it may be the disk of another store: packs of two stores have the same
 * numbers. So a record in it names its store.
 */

const LENGTH_MAX = 4096;

/** `unnamed`: there are copies, and no record that can be read; `empty`: there is neither. */
export type CopiesOwner = 'this' | 'other' | 'unnamed' | 'empty';

/** The directory of a store's copies. */
export function copiesDirectory(store: string): string {
  return join(store, 'copies');
}

const recordPath = (store: string): string => join(copiesDirectory(store), 'copies.json');

/** `store`: its directory; `id`: its ID. */
export async function copiesOwner(
  files: FileSystem,
  store: string,
  id: string,
): Promise<CopiesOwner> {
  const path = recordPath(store);
  if (await files.stat(path)) {
    try {
      const found = copiesFile.decode(await files.readFile(path, LENGTH_MAX), 'checked');
      return found.store === id ? 'this' : 'other';
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
    }
  }
  for (const name of ['packs', 'sets']) {
    const directory = join(copiesDirectory(store), name);
    if ((await files.stat(directory)) && (await files.list(directory)).length > 0) return 'unnamed';
  }
  return 'empty';
}

export async function nameCopiesOwner(files: FileSystem, store: string, id: string): Promise<void> {
  await files.makeDirectory(copiesDirectory(store));
  await putDurably(files, recordPath(store), copiesFile.encode({ store: id }, 'checked'));
}

/** Whether copies may be written. The record is written with the first one. */
export async function mayCopy(files: FileSystem, store: string, id: string): Promise<boolean> {
  const owner = await copiesOwner(files, store, id);
  if (owner === 'empty') await nameCopiesOwner(files, store, id);
  return owner === 'this' || owner === 'empty';
}
