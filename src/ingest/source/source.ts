import { resolve } from 'node:path/posix';
import type { BlockDevice } from '../../block/block-device.ts';
import { fileDevice } from '../../block/file.ts';
import { openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';
import { isNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { SectorSize } from '../../formats/store/catalog/point.ts';
import { openNoMore, openPaths } from '../../sys/process/process-files.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';
import { detectFormat, type ImageFormat } from './image-format.ts';
import { IngestError } from './ingest-error.ts';
import { lookAtImage } from './image-look.ts';
import { readAlone } from './image-users.ts';
import { sectorSizeOf } from './sector-size.ts';
import { examineImage, serveImage } from './qemu-image.ts';

/** Whether a file may not be read for whoever asks for a backup; a path without links. */
export type IsSecret = (realPath: string) => boolean;

/** A disk to be backed up, open for reading. */
export interface Source extends AsyncDisposable {
  readonly device: BlockDevice;
  /** For people: an absolute path, or a URI. */
  readonly where: string;
  readonly sectorSize: SectorSize | undefined;
}

const SECTOR = 512;

/**
 * `where`: a file, a block device, or an NBD URI. `isSecret` is asked of what is open, for names lead elsewhere a
 * moment later. Rejects IngestError, SystemError, BlockError.
 */
export async function openSource(
  world: World,
  where: string,
  { format, isSecret }: { readonly format: ImageFormat | undefined; readonly isSecret: IsSecret },
): Promise<Source> {
  if (isNbdUri(where)) {
    if (format && format !== 'raw') {
      throw new IngestError('UNSUPPORTED', `${where}: what NBD serves is raw, not ${format}`);
    }
    await using stack = new AsyncDisposableStack();
    const device = stack.use(await openNbdDisk(where));
    requireWhole(device, where);
    return await owning(device, where, { stack });
  }
  const { files, clock } = world;
  const path = resolve(where);
  const status = await files.stat(path);
  if (!status) throw new SystemError('NOT_FOUND', `${path}: there is no such image`);
  if (status.kind !== 'file' && status.kind !== 'block-device') {
    throw new IngestError('UNSUPPORTED', `${path} is neither a file nor a block device`);
  }
  await using stack = new AsyncDisposableStack();
  const file = stack.use(await files.open(path, 'read'));
  const kind = format ?? (await detectFormat(file, status.kind));
  if (kind === 'raw') {
    readAlone(file);
    const device = stack.use(await fileDevice(files, path));
    await refuseSecrets(process.pid, path, isSecret);
    requireWhole(device, path);
    const own = status.kind === 'block-device' ? file.sectorSize() : undefined;
    return await owning(device, path, { own, stack });
  }
  const look = await lookAtImage(files, path, {
    format: kind,
    isSaid: format !== undefined,
    stack,
  });
  await examineImage(path, { format: kind, isSaid: format !== undefined });
  const isDevice = status.kind === 'block-device';
  const served = stack.use(
    await serveImage(clock, path, { format: kind, access: 'read', isDevice }),
  );
  // It has all parts of the image open, and what a part names as well: more is none of it.
  await openNoMore(served.pid);
  await refuseSecrets(served.pid, path, isSecret);
  if (look.complaint !== undefined) throw new IngestError('BAD_IMAGE', look.complaint);
  requireSize(look.size, served.disk.geometry.size, path);
  return await owning(served.disk, path, { stack });
}

/** `own`: the sector size of the device that it lies on. */
async function owning(
  device: BlockDevice,
  where: string,
  { own, stack }: { readonly own?: number | undefined; readonly stack: AsyncDisposableStack },
): Promise<Source> {
  const sectorSize = await sectorSizeOf(device, own);
  const owned = stack.move();
  return { device, where, sectorSize, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What is read must be what the image says that it holds; qemu counts in sectors. */
function requireSize(said: number | undefined, served: number, path: string): void {
  if (said === undefined || Math.ceil(said / SECTOR) * SECTOR === served) return;
  throw new IngestError(
    'BAD_IMAGE',
    `${path} says that it holds ${said} bytes, and ${served} can be read`,
  );
}

/** Rejects DENIED. */
async function refuseSecrets(pid: number, path: string, isSecret: IsSecret): Promise<void> {
  const secret = (await openPaths(pid)).find(isSecret);
  if (secret === undefined) return;
  throw new SystemError(
    'DENIED',
    `${path} leads to ${secret}, which holds secrets of this host: it is not read for a backup`,
  );
}

/** Disks are whole sectors: what is not was cut off. */
function requireWhole({ geometry: { size } }: BlockDevice, where: string): void {
  if (size > 0 && size % SECTOR === 0) return;
  const why = size === 0 ? 'is empty' : `has ${size} bytes, no whole number of sectors: truncated?`;
  throw new IngestError('BAD_IMAGE', `${where} ${why}`);
}
