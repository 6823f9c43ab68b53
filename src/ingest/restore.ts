import { basename, dirname, join, resolve } from 'node:path/posix';
import type { BlockDevice, WritableBlockDevice } from '../block/block-device.ts';
import { writableFileDevice } from '../block/file.ts';
import { openNbdDisk } from '../block/nbd-disk.ts';
import { isNbdUri } from '../block/nbd-uri.ts';
import type { FileSystem } from '../sys/file-system.ts';
import type { World } from '../sys/world.ts';
import type { ImageFormat } from './image-format.ts';
import { IngestError } from './ingest-error.ts';
import { createImage, serveImage } from './qemu-image.ts';
import { rewriteDisk, type RewriteOptions } from './rewrite-disk.ts';

export interface RestoreOptions extends Omit<RewriteOptions, 'isEmpty'> {
  /** A file, a block device, or an NBD URI. */
  readonly to: string;
  readonly format: ImageFormat;
  /** Replaces a file that is there. */
  readonly overwrite: boolean;
}

/**
 * Writes a disk where it is wanted and reads it back. A file appears under its name only when it is
 * whole; holes stay holes. Rejects EXISTS, TOO_SMALL, VERIFY.
 */
export async function restoreDisk(
  world: World,
  disk: BlockDevice,
  options: RestoreOptions,
): Promise<{ readonly writtenBytes: number }> {
  const { to, format } = options;
  const { size } = disk.geometry;
  if (isNbdUri(to)) {
    requireRaw(to, format);
    await using target = await openNbdDisk(to);
    return await rewriteDisk(disk, fitting(target, to, size), { ...options, isEmpty: false });
  }
  const { files } = world;
  const path = resolve(to);
  const status = await files.stat(path);
  if (status?.kind === 'block-device') {
    requireRaw(path, format);
    await using target = await writableFileDevice(files, path);
    return await rewriteDisk(disk, fitting(target, path, size), { ...options, isEmpty: false });
  }
  if (status && !options.overwrite) {
    throw new IngestError('EXISTS', `${path} exists: remove it, or say --overwrite`);
  }
  return restoreFile(world, disk, { ...options, path });
}

function requireRaw(to: string, format: ImageFormat): void {
  if (format === 'raw') return;
  throw new IngestError('UNSUPPORTED', `${to}: only raw can be written there, not ${format}`);
}

function fitting(target: WritableBlockDevice, to: string, size: number): WritableBlockDevice {
  const has = target.geometry.size;
  if (has >= size) return target;
  throw new IngestError('TOO_SMALL', `${to} has ${has} bytes, the disk has ${size}`);
}

async function restoreFile(
  world: World,
  disk: BlockDevice,
  options: RestoreOptions & { readonly path: string },
): Promise<{ readonly writtenBytes: number }> {
  const { files, random } = world;
  const { path, format } = options;
  const directory = dirname(path);
  const tail = Buffer.from(random.bytes(4)).toString('hex');
  const temporary = join(directory, `.${basename(path)}.${tail}.part`);
  try {
    const result = await (format === 'raw'
      ? fillRaw(files, temporary, disk, options)
      : fillForeign(world, temporary, disk, options));
    await syncFile(files, temporary);
    await files.rename(temporary, path);
    await files.syncDirectory(directory);
    return result;
  } catch (cause) {
    if (await files.stat(temporary)) await files.unlink(temporary);
    throw cause;
  }
}

async function fillForeign(
  { clock }: World,
  path: string,
  disk: BlockDevice,
  options: RestoreOptions,
) {
  const { format } = options;
  const { size } = disk.geometry;
  await createImage(path, { format, size });
  await using image = await serveImage(clock, path, { format, access: 'write' });
  return await rewriteDisk(disk, fitting(image.disk, path, size), { ...options, isEmpty: true });
}

async function fillRaw(
  files: FileSystem,
  temporary: string,
  disk: BlockDevice,
  options: RestoreOptions,
) {
  {
    await using file = await files.create(temporary);
    await file.truncate(disk.geometry.size);
  }
  await using target = await writableFileDevice(files, temporary);
  return await rewriteDisk(disk, target, { ...options, isEmpty: true });
}

async function syncFile(files: FileSystem, path: string): Promise<void> {
  await using file = await files.open(path, 'write');
  await file.sync();
}
