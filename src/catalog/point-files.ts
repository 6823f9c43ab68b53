import { FormatError } from '../formats/format-error.ts';
import {
  decodeMachine,
  fileLengthMax,
  type MachineDescription,
  type PointFile,
  type PointFileKind,
} from '../formats/store/catalog/machine.ts';
import type { PointRecord } from '../formats/store/catalog/point.ts';
import { CodedError } from '../lib/coded-error.ts';
import { formatSize, MiB } from '../lib/sizes.ts';
import type { Store } from '../store/directory/store.ts';
import { openBlockReader } from '../store/read/block-reader.ts';
import { manifestDisk } from '../store/read/manifest-disk.ts';
import { CatalogError } from './catalog-error.ts';
import { holdPoint } from './point-lease.ts';
import type { OpenSet } from './sets.ts';

/*
 * Files that belong to a recovery point's machine (machine.md): small, and read whole. Reads reject with BlockError
 * where the store has lost a part.
 */

/** Each block is read once. */
const CACHE_LENGTH = 2 * MiB;

/**
 * All bytes of the file, each block verified. Rejects CORRUPT for one that is larger than any of its kind can be, and
 * NOT_FOUND if the recovery point has been forgotten.
 */
export async function readPointFile(
  store: Store,
  set: OpenSet,
  { id }: Pick<PointRecord, 'id'>,
  file: PointFile,
): Promise<Uint8Array> {
  const { name, kind, size, reference } = file;
  const where = `${id}/${name}`;
  const most = fileLengthMax(kind);
  if (size > most) {
    const what = `a file of ${formatSize(size)}, more than ${formatSize(most)}`;
    throw new CatalogError('CORRUPT', `${where}: ${what}`);
  }
  const bytes = new Uint8Array(size);
  if (!reference || size === 0) return bytes;
  await using _lease = await holdPoint(store, set, { id, files: [file] }, `read ${where}`);
  await using reader = openBlockReader(store, { cacheLength: CACHE_LENGTH });
  const hurt = { set: set.name, point: id, disk: name };
  await using disk = manifestDisk(reader, { name: where, root: file, keys: set.keys, hurt });
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

/**
 * Whether the file cannot be read at all, since the store has lost or damaged it. A disk that fails, or a reader that
 * was closed, says nothing about the file.
 */
export function isLost(cause: unknown): cause is CodedError<'CORRUPT'> {
  return cause instanceof CodedError && cause.code === 'CORRUPT';
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
