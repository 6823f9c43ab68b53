import { FormatError } from '../formats/format-error.ts';
import {
  decodeMachine,
  type MachineDescription,
  type PointFile,
  type PointFileKind,
} from '../formats/store/catalog/machine.ts';
import type { PointRecord } from '../formats/store/catalog/point.ts';
import { formatSize, MiB } from '../lib/sizes.ts';
import type { Store } from '../store/directory/store.ts';
import { openBlockReader } from '../store/read/block-reader.ts';
import { manifestDisk } from '../store/read/manifest-disk.ts';
import { CatalogError } from './catalog-error.ts';
import type { OpenSet } from './sets.ts';

/*
 * Files that belong to a recovery point's machine (machine.md): small, and read whole. Reads reject with BlockError
 * where the store has lost a part.
 */

/** The variables of a firmware for ARM fill 64 MiB. */
export const POINT_FILE_LENGTH_MAX = 128 * MiB;
/** Each block is read once. */
const CACHE_LENGTH = 2 * MiB;

/** All bytes of the file, each block verified. Rejects CORRUPT for one that is larger than any can be. */
export async function readPointFile(
  store: Store,
  set: OpenSet,
  { id }: Pick<PointRecord, 'id'>,
  file: PointFile,
): Promise<Uint8Array> {
  const { name, size, reference } = file;
  const where = `${id}/${name}`;
  if (size > POINT_FILE_LENGTH_MAX) {
    const what = `a file of ${formatSize(size)}, more than ${formatSize(POINT_FILE_LENGTH_MAX)}`;
    throw new CatalogError('CORRUPT', `${where}: ${what}`);
  }
  const bytes = new Uint8Array(size);
  if (!reference || size === 0) return bytes;
  await using reader = openBlockReader(store, { cacheLength: CACHE_LENGTH });
  await using disk = manifestDisk(reader, { name: where, root: file, keys: set.keys });
  await disk.read(bytes, 0);
  return bytes;
}

/** The point's first file of this kind. */
export function fileOfKind(
  { files }: Pick<PointRecord, 'files'>,
  kind: PointFileKind,
): PointFile | undefined {
  return files?.find((file) => file.kind === kind);
}

/** Undefined: nothing is known of the machine. Rejects CORRUPT. */
export async function readMachine(
  store: Store,
  set: OpenSet,
  point: PointRecord,
): Promise<MachineDescription | undefined> {
  const file = fileOfKind(point, 'description');
  if (!file) return undefined;
  try {
    return decodeMachine(await readPointFile(store, set, point, file));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CatalogError('CORRUPT', `${point.id}/${file.name}: ${cause.message}`, { cause });
  }
}
