import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { CatalogError } from '../catalog-error.ts';
import { readRecord } from '../read-record.ts';
import type { RecordProblem } from '../set-copies.ts';

/** The paths of a record and of its second copy. */
export type TwoPaths = readonly [string, string];

/** A copy that can be read. */
export interface ReadCopy<T> {
  readonly path: string;
  readonly record: T;
}

/**
 * What can be read of a record that lies twice, the copy with the higher counter first: it counts. `decode`: may also
 * throw CatalogError, for a record that belongs elsewhere.
 */
export async function readTwice<T extends { readonly counter: number }>(
  store: Store,
  paths: TwoPaths,
  lengthMax: number,
  decode: (bytes: Uint8Array, path: string) => T,
): Promise<{ readonly read: readonly ReadCopy<T>[]; readonly problems: RecordProblem[] }> {
  const { files } = store;
  const read: ReadCopy<T>[] = [];
  const problems: RecordProblem[] = [];
  for (const path of paths) {
    if (!(await files.stat(path))) continue;
    try {
      const record = await readRecord({ files, store }, path, lengthMax, (bytes) =>
        decode(bytes, path),
      );
      read.push({ path, record });
    } catch (cause) {
      if (!(cause instanceof CatalogError)) throw cause;
      problems.push({ path, reason: cause.message });
    }
  }
  return { read: read.sort((a, b) => b.record.counter - a.record.counter), problems };
}

/** The copy first: whatever a crash leaves, one of both can be read. */
export async function putTwice(
  { files }: Store,
  paths: TwoPaths,
  bytes: Uint8Array,
): Promise<void> {
  for (const path of paths.toReversed()) await putDurably(files, path, bytes);
}
