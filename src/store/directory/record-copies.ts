import { basename, dirname, join } from 'node:path/posix';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { copiesDirectory, copiesOwner, mayCopy } from '../packs/copies-owner.ts';
import type { Store } from './store.ts';

/*
 * Second copies of recovery points' records, and third ones of sets' records, in `copies/sets`: another disk may be
 * mounted at `copies`. They are only for `store repair`, which also makes those that are missing: a disk of copies that
 * is full or away stops no backup.
 */

/** The copy of a file that is in `sets`. */
export function recordCopyPath({ directory }: Pick<Store, 'directory'>, path: string): string {
  const inStore = path.slice(directory.length + 1);
  return join(copiesDirectory(directory), inStore);
}

/** Never rejects for the medium: resolves with the reason then. */
export async function copyRecord(
  store: Store,
  path: string,
  bytes: Uint8Array,
): Promise<string | undefined> {
  const copy = recordCopyPath(store, path);
  return leniently(async () => {
    if (!(await mayCopy(store.files, store.directory, store.id))) return;
    await store.files.makeDirectory(dirname(copy));
    await putDurably(store.files, copy, bytes);
  });
}

/** Never rejects for the medium. */
export async function dropRecordCopy(store: Store, path: string): Promise<void> {
  const copy = recordCopyPath(store, path);
  await leniently(async () => {
    if (!(await store.files.stat(copy))) return;
    const owner = await copiesOwner(store.files, store.directory, store.id);
    if (owner !== 'other') await store.files.unlink(copy);
  });
}

/** Names of the sets, or of the files of a set's directory, of which there are copies. */
export async function copiedNames(store: Store, path: string): Promise<string[]> {
  const directory = recordCopyPath(store, path);
  const isThere = (await store.files.stat(directory))?.kind === 'directory';
  return isThere ? (await store.files.list(directory)).map((name) => basename(name)) : [];
}

async function leniently(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return cause.message;
  }
}
