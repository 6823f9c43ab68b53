import { FormatError } from '../formats/format-error.ts';
import { requireSum } from '../formats/store/base/json-record.ts';
import type { Store } from '../store/directory/store.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { CatalogError } from './catalog-error.ts';

/** Reads and decodes a record of a store; a damaged one is CORRUPT, with the file's name. */
export async function readRecord<T>(
  { files, store }: { readonly files: FileSystem; readonly store: Store },
  path: string,
  lengthMax: number,
  decode: (bytes: Uint8Array) => T,
): Promise<T> {
  const bytes = await files.readFile(path, lengthMax);
  try {
    const value = decode(bytes);
    if (store.has('checked-records')) requireSum(bytes);
    return value;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CatalogError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
}
