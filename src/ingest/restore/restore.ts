import { resolve } from 'node:path/posix';
import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import { writableFileDevice } from '../../block/file.ts';
import { openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';
import { isNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { Store } from '../../store/directory/store.ts';
import type { File, FileStatus } from '../../sys/files/file-system.ts';
import { realTarget } from '../../sys/files/real-path.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';
import { formatName, formatOfName, type ImageFormat } from '../source/image-format.ts';
import { isBeingWritten } from '../source/image-users.ts';
import { IngestError } from '../source/ingest-error.ts';
import { openPartFile } from './part-file.ts';
import { createImage, serveImage } from '../source/qemu-image.ts';
import { requireSectors, requireSpace } from './restore-limits.ts';
import { rewriteDisk, type RewriteOptions } from './rewrite-disk.ts';

export interface RestoreOptions extends Omit<RewriteOptions, 'isEmpty'> {
  /** A file, a block device, or an NBD URI. */
  readonly to: string;
  /** Undefined: the format that the file's name implies, otherwise raw. */
  readonly format: ImageFormat | undefined;
  /** Replaces an existing file. */
  readonly overwrite: boolean;
  /** The store of the disk: if the file lies beside it, its sessions need space too. */
  readonly store: Pick<Store, 'directory'>;
  /** Called once no other process can use the device: rejects if its contents must not be lost. */
  readonly mayErase: (device: string) => Promise<void>;
}

export interface RestoredDisk {
  readonly writtenBytes: number;
  readonly format: ImageFormat;
}

/**
 * Writes a disk to its destination and reads it back. A file gets its name only once it is whole; holes stay holes.
 * Only regular files are replaced, links are followed, and a device in use is never written. Rejects EXISTS,
 * TOO_SMALL, UNSUPPORTED, REFUSED, VERIFY; NO_SPACE, BUSY.
 */
export async function restoreDisk(
  world: World,
  disk: BlockDevice,
  options: RestoreOptions,
): Promise<RestoredDisk> {
  const { to } = options;
  if (isNbdUri(to)) {
    const { signal } = options;
    await using target = await openNbdDisk(to, { files: world.files, signal });
    return await overwriteRaw(disk, target, to, options);
  }
  const { files } = world;
  const path = await realTarget(to);
  const status = await files.stat(path);
  if (status?.kind === 'block-device') {
    await using target = await deviceAlone(world, path);
    await options.mayErase(path);
    return await overwriteRaw(disk, target, path, options);
  }
  await requireReplaceable(world, path, status, options);
  const format = wantedFormat(resolve(to), options.format);
  return restoreFile(world, disk, { ...options, path, format });
}

async function overwriteRaw(
  disk: BlockDevice,
  target: WritableBlockDevice,
  to: string,
  options: RestoreOptions,
): Promise<RestoredDisk> {
  const { format = 'raw' } = options;
  if (format !== 'raw') {
    const name = formatName(format);
    throw new IngestError('UNSUPPORTED', `${to}: only raw can be written here, not ${name}`);
  }
  const { size } = disk.geometry;
  const done = await rewriteDisk(disk, fitting(target, to, size), { ...options, isEmpty: false });
  return { ...done, format };
}

function fitting(target: WritableBlockDevice, to: string, size: number): WritableBlockDevice {
  const has = target.geometry.size;
  if (has >= size) return target;
  throw new IngestError('TOO_SMALL', `${to} has ${has} bytes, the disk has ${size}`);
}

async function deviceAlone({ files }: World, path: string): Promise<WritableBlockDevice> {
  try {
    return await writableFileDevice(files, path, 'alone');
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'BUSY') throw cause;
    throw new SystemError(
      'BUSY',
      `${path} is in use: it, or a partition of it, is mounted, swapped to, or part of LVM, RAID or an encrypted ` +
        'volume. Nothing was written. Unmount or detach it first, or name another device',
      { cause },
    );
  }
}

/**
 * Checks as much of a destination as possible before the disk is read: whether a file may be created or replaced
 * there, in that format. Does not check devices and NBD servers. Rejects as `restoreDisk`.
 */
export async function checkTarget(
  world: World,
  { to, format, overwrite }: Pick<RestoreOptions, 'to' | 'format' | 'overwrite'>,
): Promise<void> {
  if (isNbdUri(to)) return;
  const path = await realTarget(to);
  const status = await world.files.stat(path);
  if (status?.kind === 'block-device') return;
  await requireReplaceable(world, path, status, { overwrite });
  wantedFormat(resolve(to), format);
}

/** Rejects REFUSED, EXISTS, BUSY. */
async function requireReplaceable(
  { files }: World,
  path: string,
  status: FileStatus | undefined,
  { overwrite }: Pick<RestoreOptions, 'overwrite'>,
): Promise<void> {
  if (!status) return;
  if (status.kind === 'directory') {
    throw new IngestError('REFUSED', `${path} is a directory: name a file in it`);
  }
  if (status.kind !== 'file') {
    throw new IngestError(
      'REFUSED',
      `${path} is neither a regular file nor a block device: it is not replaced`,
    );
  }
  if (!overwrite) {
    throw new IngestError('EXISTS', `${path} exists: remove it, or give --overwrite`);
  }
  await using file = await files.open(path, 'read');
  if (!isBeingWritten(file)) return;
  throw new SystemError(
    'BUSY',
    `${path} is in use: a virtual machine has it open for writing, and would continue with the replaced file. ` +
      'Shut the machine down first, or name another file',
  );
}

/** Rejects UNSUPPORTED if the name implies another format: programs that open the file trust its name. */
function wantedFormat(path: string, said: ImageFormat | undefined): ImageFormat {
  const promised = formatOfName(path);
  if (said === undefined) return promised ?? 'raw';
  if (promised === undefined || promised === said) return said;
  const [by, is] = [formatName(promised), formatName(said)];
  throw new IngestError(
    'UNSUPPORTED',
    `${path} is named like ${by}, and --format says ${is}: give --format ${by}, or a name that does not end so`,
  );
}

async function restoreFile(
  world: World,
  disk: BlockDevice,
  options: RestoreOptions & { readonly path: string; readonly format: ImageFormat },
): Promise<RestoredDisk> {
  const { files } = world;
  const { path, format, store, signal } = options;
  await using part = await openPartFile(world, path);
  await requireSectors(disk, path, format);
  await requireSpace(world, disk, { path, store, signal });
  const done = await (format === 'raw'
    ? fillRaw(world, part.file, disk, options)
    : fillForeign(world, part.file.path, disk, { ...options, format }));
  await part.file.sync();
  // After hours, another process may have created a file of this name.
  await requireReplaceable(world, path, await files.stat(path), options);
  await part.publish();
  return { ...done, format };
}

async function fillForeign(
  { clock }: World,
  path: string,
  disk: BlockDevice,
  { format, ...options }: RestoreOptions & { readonly format: ImageFormat },
) {
  const { size } = disk.geometry;
  await createImage(path, { format, size });
  await using image = await serveImage(clock, path, { format, access: 'write' });
  return await rewriteDisk(disk, fitting(image.disk, path, size), { ...options, isEmpty: true });
}

async function fillRaw({ files }: World, part: File, disk: BlockDevice, options: RestoreOptions) {
  await part.truncate(disk.geometry.size);
  await using target = await writableFileDevice(files, part.path);
  return await rewriteDisk(disk, target, { ...options, isEmpty: true });
}
