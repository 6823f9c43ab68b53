import { resolve } from 'node:path/posix';
import type { BlockDevice } from '../block/block-device.ts';
import { fileDevice } from '../block/file.ts';
import { openNbdDisk } from '../block/nbd-disk.ts';
import { isNbdUri } from '../block/nbd-uri.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';
import { detectFormat, type ImageFormat } from './image-format.ts';
import { IngestError } from './ingest-error.ts';
import { examineImage, serveImage } from './qemu-image.ts';

/** A disk to be backed up, open for reading. */
export interface Source extends AsyncDisposable {
  readonly device: BlockDevice;
  /** For people: an absolute path, or a URI. */
  readonly where: string;
}

const SECTOR = 512;

/** `where`: a file, a block device, or an NBD URI. Rejects IngestError, SystemError, BlockError. */
export async function openSource(
  world: World,
  where: string,
  format: ImageFormat | undefined,
): Promise<Source> {
  if (isNbdUri(where)) {
    if (format && format !== 'raw') {
      throw new IngestError('UNSUPPORTED', `${where}: what NBD serves is raw, not ${format}`);
    }
    return whole(await openNbdDisk(where), where);
  }
  const { files, clock } = world;
  const path = resolve(where);
  const status = await files.stat(path);
  if (!status) throw new SystemError('NOT_FOUND', `${path}: there is no such image`);
  if (status.kind !== 'file' && status.kind !== 'block-device') {
    throw new IngestError('UNSUPPORTED', `${path} is neither a file nor a block device`);
  }
  const isFile = status.kind === 'file';
  const kind = format ?? (isFile ? await detectFormat(files, path) : 'raw');
  if (kind === 'raw') return whole(await fileDevice(files, path), path);
  await examineImage(path, { format: kind, isSaid: format !== undefined });
  const served = await serveImage(clock, path, { format: kind, access: 'read' });
  return {
    device: served.disk,
    where: path,
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

/** Disks are whole sectors: what is not was cut off. */
async function whole(device: BlockDevice, where: string): Promise<Source> {
  const { size } = device.geometry;
  if (size === 0 || size % SECTOR !== 0) {
    await device[Symbol.asyncDispose]();
    const why =
      size === 0 ? 'is empty' : `has ${size} bytes, no whole number of sectors: truncated?`;
    throw new IngestError('BAD_IMAGE', `${where} ${why}`);
  }
  return { device, where, [Symbol.asyncDispose]: () => device[Symbol.asyncDispose]() };
}
