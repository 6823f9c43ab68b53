import { resolve } from 'node:path/posix';
import { fileDevice } from '../../block/file.ts';
import { forbidOpening, openPaths } from '../../sys/process/process-files.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';
import { detectFormat, type ImageFormat } from './image-format.ts';
import { lookAtImage } from './image-look.ts';
import { readAlone } from './image-users.ts';
import { IngestError } from './ingest-error.ts';
import { examineImage, serveImage } from './qemu-image.ts';
import { ownedSource, type Source } from './source.ts';

/** Whether a file must not be read on behalf of a client; a path without links. */
export type IsSecret = (realPath: string) => boolean;

export interface ImageOptions {
  /** Undefined: detected. */
  readonly format: ImageFormat | undefined;
  /** Checked for open files, because names may lead elsewhere a moment later. */
  readonly isSecret: IsSecret;
  /** Rejects REFUSED for an image that needs other files. */
  readonly isOneFile?: boolean;
}

/** The units of qemu. */
const SECTOR = 512;

/** An image in a file or on a block device. Rejects IngestError, SystemError. */
export async function imageSource(
  world: Pick<World, 'files' | 'clock'>,
  where: string,
  { format, isSecret, isOneFile }: ImageOptions,
): Promise<Source> {
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
    const own = status.kind === 'block-device' ? file.sectorSize() : undefined;
    return await ownedSource(device, path, { own, stack });
  }
  const look = await lookAtImage(files, path, {
    format: kind,
    isSaid: format !== undefined,
    stack,
  });
  const [other] = look.named;
  if (isOneFile && other) {
    throw new IngestError('REFUSED', `${path} is not whole by itself: it refers to ${other.name}`);
  }
  await examineImage(path, { format: kind, isSaid: format !== undefined });
  const isDevice = status.kind === 'block-device';
  const served = stack.use(
    await serveImage(clock, path, { format: kind, access: 'read', isDevice }),
  );
  // It has all parts of the image open, including those that a part names: it needs no others.
  await forbidOpening(served.pid);
  await refuseSecrets(served.pid, path, isSecret);
  if (look.complaint !== undefined) throw new IngestError('BAD_IMAGE', look.complaint);
  requireSize(look.size, served.disk.geometry.size, path);
  return await ownedSource(served.disk, path, { stack });
}

/** The readable size must be the one that the image states; qemu counts in sectors. */
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
