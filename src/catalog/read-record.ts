import { FormatError } from '../formats/format-error.ts';
import type { FileSystem } from '../sys/file-system.ts';
import { CatalogError } from './catalog-error.ts';

/** Reads and decodes a record; what is damaged is CORRUPT, with the file's name. */
export async function readRecord<T>(
  files: FileSystem,
  path: string,
  lengthMax: number,
  decode: (bytes: Uint8Array) => T,
): Promise<T> {
  const bytes = await files.readFile(path, lengthMax);
  try {
    return decode(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CatalogError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
}
