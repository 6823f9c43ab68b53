import { resolve } from 'node:path/posix';
import type { BlockDevice } from '../block/block-device.ts';
import { fileDevice } from '../block/file.ts';
import { openNbdDisk } from '../block/nbd-disk.ts';
import { isNbdUri } from '../block/nbd-uri.ts';
import { openNoMore, openPaths } from '../sys/process-files.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';
import { detectFormat, type ImageFormat } from './image-format.ts';
import { IngestError } from './ingest-error.ts';
import { examineImage, serveImage } from './qemu-image.ts';

/** Whether a file may not be read for whoever asks for a backup; a path without links. */
export type IsSecret = (realPath: string) => boolean;

/** A disk to be backed up, open for reading. */
export interface Source extends AsyncDisposable {
  readonly device: BlockDevice;
  /** For people: an absolute path, or a URI. */
  readonly where: string;
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
  await using stack = new AsyncDisposableStack();
  if (kind === 'raw') {
    const source = stack.use(await whole(await fileDevice(files, path), path));
    await refuseSecrets(process.pid, path, isSecret);
    stack.move();
    return source;
  }
  await examineImage(path, { format: kind, isSaid: format !== undefined });
  const served = stack.use(await serveImage(clock, path, { format: kind, access: 'read' }));
  // It has all parts of the image open, and what a part names as well: more is none of it.
  await openNoMore(served.pid);
  await refuseSecrets(served.pid, path, isSecret);
  stack.move();
  return {
    device: served.disk,
    where: path,
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
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
