import { dirname } from 'node:path/posix';
import type { BlockDevice } from '../../block/block-device.ts';
import { isNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import { LARGE_SECTOR } from '../../formats/store/catalog/point.ts';
import { GiB } from '../../lib/sizes.ts';
import { backupReserve } from '../../store/directory/space-reserve.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { realPath, realTarget } from '../../sys/files/real-path.ts';
import type { World } from '../../sys/world.ts';
import { tableSectorSize } from '../source/sector-size.ts';
import { formatName, type ImageFormat } from '../source/image-format.ts';
import { IngestError } from '../source/ingest-error.ts';

/* Detects restores that would fail, or be of no use, before hours are spent on them. */

/** Rejects REFUSED for a file in the directory of the store, which holds nothing but the store. */
export async function requireOutside(path: string, store: Pick<Store, 'directory'>): Promise<void> {
  const directory = await realPath(store.directory);
  if (directory === undefined || !path.startsWith(`${directory}/`)) return;
  throw new IngestError(
    'REFUSED',
    `${path} is in the directory of the store (${directory}): name a file outside of it`,
  );
}

export interface Room {
  /** The file to write. */
  readonly path: string;
  readonly store: Pick<Store, 'directory'>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Rejects NO_SPACE if there is not enough room for the data alone or, beside the store, if it would take the space
 * reserved for sessions.
 */
export async function requireSpace(
  world: World,
  device: BlockDevice,
  { path, store, signal }: Room,
): Promise<void> {
  await requireRoom(world, [{ device, path }], { store, signal });
}

interface NewFile {
  readonly device: BlockDevice;
  readonly path: string;
}

/** Rejects as `requireSpace` if several disks together need more than there is. */
export async function requireSpaceForAll(
  world: World,
  disks: readonly { readonly device: BlockDevice; readonly to: string }[],
  options: Pick<Room, 'store' | 'signal'>,
): Promise<void> {
  const byFileSystem = new Map<number | undefined, NewFile[]>();
  for (const { device, to } of disks) {
    if (isNbdUri(to)) continue;
    const path = await realTarget(to);
    if ((await world.files.stat(path))?.kind === 'block-device') continue;
    const on = (await world.files.stat(dirname(path)))?.fileSystem;
    byFileSystem.set(on, [...(byFileSystem.get(on) ?? []), { device, path }]);
  }
  for (const files of byFileSystem.values()) await requireRoom(world, files, options);
}

/** On one file system. How much of a disk is data takes its whole manifest to find out: only if it matters. */
async function requireRoom(
  { files }: World,
  wanted: readonly NewFile[],
  { store, signal }: Pick<Room, 'store' | 'signal'>,
): Promise<void> {
  const directory = dirname(wanted[0]!.path);
  const space = await files.space(directory);
  const [here, there] = await Promise.all([directory, store.directory].map((it) => files.stat(it)));
  const kept = here?.fileSystem === there?.fileSystem ? backupReserve(space, true) : 0;
  const all = Math.max(0, space.freeBytes - kept);
  if (all >= wanted.reduce((sum, { device }) => sum + device.geometry.size, 0)) return;
  let promised = 0;
  for (const { device, path } of wanted) {
    const data = await dataIn(device, signal);
    const free = Math.max(0, all - promised);
    promised += data;
    if (free >= data) continue;
    const others = promised > data ? ` besides the ${promised - data} that other disks take` : '';
    const reserve =
      kept > 0 ? ` (${kept} more are kept for sessions: the store lies there too)` : '';
    const found = `the disk holds ${data} bytes of data, and ${free} are free there${others}${reserve}`;
    throw new SystemError('NO_SPACE', `${path}: ${found}. Nothing was written`);
  }
}

const LOOK_LENGTH = GiB;

/** How many of its bytes are data. */
export async function dataIn(disk: BlockDevice, signal: AbortSignal | undefined): Promise<number> {
  const { size } = disk.geometry;
  let data = 0;
  for (let at = 0; at < size; at += LOOK_LENGTH) {
    signal?.throwIfAborted();
    const extents = await disk.extents(at, Math.min(LOOK_LENGTH, size - at));
    for (const { kind, length } of extents) if (kind === 'data') data += length;
  }
  return data;
}

/** Formats that do not define sectors, or leave them to the machine that uses the image. */
const ANY_SECTORS: ReadonlySet<ImageFormat> = new Set(['raw', 'qcow2']);

/** Rejects UNSUPPORTED: a table for sectors of 4096 bytes is not found in an image whose sectors have 512. */
export async function requireSectors(
  disk: BlockDevice,
  path: string,
  format: ImageFormat,
): Promise<void> {
  if (ANY_SECTORS.has(format) || (await tableSectorSize(disk)) !== LARGE_SECTOR) return;
  throw new IngestError(
    'UNSUPPORTED',
    `${path}: the disk has sectors of 4096 bytes, and those of ${formatName(format)} images have 512: its partitions ` +
      'would not be found. Restore it to raw or qcow2, for a machine whose disk has such sectors',
  );
}
