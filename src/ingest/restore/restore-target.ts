import { resolve } from 'node:path/posix';
import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import { writableFileDevice } from '../../block/file.ts';
import { openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';
import { isNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { Store } from '../../store/directory/store.ts';
import type { FileStatus } from '../../sys/files/file-system.ts';
import { realTarget } from '../../sys/files/real-path.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';
import { formatName, formatOfName, type ImageFormat } from '../source/image-format.ts';
import { isBeingWritten } from '../source/image-users.ts';
import { IngestError } from '../source/ingest-error.ts';
import { createImage, serveImage } from '../source/qemu-image.ts';
import { openPartFile } from './part-file.ts';
import { requireOutside, requireSectors, requireSpace } from './restore-limits.ts';

/* Where a disk is written to: a file of any format, a block device, or an export of an NBD server. */

export interface TargetOptions {
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
  readonly signal?: AbortSignal | undefined;
}

/** Disposing leaves no file unless it was published. */
export interface RestoreTarget extends AsyncDisposable {
  /** At least as large as the disk. */
  readonly device: WritableBlockDevice;
  readonly format: ImageFormat;
  /** It reads as zeros until something is written. */
  readonly isEmpty: boolean;
  /** After a flush: later reads come from the medium, not from this host's memory. An NBD server decides for itself. */
  forget(): Promise<void>;
  /** Nothing more is written: the program that wrote it has ended, and all of it is durable. */
  finish(): Promise<void>;
  /** Finishes it, and gives a file its name, durably. Rejects EXISTS. */
  publish(): Promise<void>;
}

/**
 * Only regular files are replaced, links are followed, and a device in use is never written. Rejects EXISTS,
 * TOO_SMALL, UNSUPPORTED, REFUSED; NO_SPACE, BUSY.
 */
export async function openTarget(
  world: World,
  disk: BlockDevice,
  options: TargetOptions,
): Promise<RestoreTarget> {
  const { to, format, signal } = options;
  const { size } = disk.geometry;
  if (isNbdUri(to)) {
    requireRaw(to, format);
    const device = await openNbdDisk(to, { files: world.files, signal });
    return ownedTarget(device, { to, size, forget: async () => {} });
  }
  const path = await realTarget(to);
  await requireOutside(path, options.store);
  const status = await world.files.stat(path);
  if (status?.kind === 'block-device') return openDevice(world, path, { ...options, size });
  await requireReplaceable(world, path, status, options);
  return openFile(world, disk, { ...options, path, format: wantedFormat(resolve(to), format) });
}

function requireRaw(to: string, format: ImageFormat | undefined): void {
  if (format === undefined || format === 'raw') return;
  const what = `only raw can be written here, not ${formatName(format)}`;
  throw new IngestError('UNSUPPORTED', `${to}: ${what}`);
}

async function openDevice(
  world: World,
  path: string,
  { format, size, mayErase }: TargetOptions & { readonly size: number },
): Promise<RestoreTarget> {
  requireRaw(path, format);
  await using stack = new AsyncDisposableStack();
  const device = stack.use(await deviceAlone(world, path));
  await mayErase(path);
  const file = stack.use(await world.files.open(path, 'read'));
  const forget = (): Promise<void> => file.drop(0, device.geometry.size);
  const target = await ownedTarget(device, { to: path, size, forget });
  const owned = stack.move();
  return { ...target, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A device that keeps its name and what lies behind the end of the disk. */
async function ownedTarget(
  device: WritableBlockDevice,
  { to, size, forget }: { to: string; size: number } & Pick<RestoreTarget, 'forget'>,
): Promise<RestoreTarget> {
  try {
    requireFitting(device, to, size);
  } catch (cause) {
    await device[Symbol.asyncDispose]();
    throw cause;
  }
  return {
    ...{ device, format: 'raw', isEmpty: false, forget },
    async finish() {},
    async publish() {},
    [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
  };
}

function requireFitting({ geometry }: WritableBlockDevice, to: string, size: number): void {
  if (geometry.size >= size) return;
  throw new IngestError('TOO_SMALL', `${to} has ${geometry.size} bytes, the disk has ${size}`);
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

/** A file that gets its name only once it is whole. */
async function openFile(
  world: World,
  disk: BlockDevice,
  options: TargetOptions & { readonly path: string; readonly format: ImageFormat },
): Promise<RestoreTarget> {
  const { path, format } = options;
  await using stack = new AsyncDisposableStack();
  const part = stack.use(await openPartFile(world, path));
  await requireSectors(disk, path, format);
  await requireSpace(world, disk, options);
  const { size } = disk.geometry;
  const image = stack.use(
    await (format === 'raw'
      ? rawImage(world, part.file, size)
      : foreignImage(world, part.file.path, { format, size })),
  );
  requireFitting(image.device, path, size);
  async function finish(): Promise<void> {
    // The program that writes it has to leave its tables in order.
    await image[Symbol.asyncDispose]();
    await part.file.sync();
  }
  const owned = stack.move();
  return {
    ...{ device: image.device, format, isEmpty: true },
    forget: async () => part.file.drop(0, await part.file.size()),
    finish,
    async publish() {
      await finish();
      // After hours, another process may have created a file of this name.
      await requireReplaceable(world, path, await world.files.stat(path), options);
      await part.publish();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface OpenImage extends AsyncDisposable {
  readonly device: WritableBlockDevice;
}

async function rawImage(
  { files }: World,
  part: { readonly path: string; truncate(size: number): Promise<void> },
  size: number,
): Promise<OpenImage> {
  await part.truncate(size);
  const device = await writableFileDevice(files, part.path);
  return { device, [Symbol.asyncDispose]: () => device[Symbol.asyncDispose]() };
}

async function foreignImage(
  { clock }: World,
  path: string,
  { format, size }: { readonly format: ImageFormat; readonly size: number },
): Promise<OpenImage> {
  await createImage(path, { format, size });
  const served = await serveImage(clock, path, { format, access: 'write' });
  return { device: served.disk, [Symbol.asyncDispose]: () => served[Symbol.asyncDispose]() };
}

/**
 * Checks as much of a destination as possible before the disk is read: whether a file may be created or replaced
 * there, in that format. Does not check devices and NBD servers. Rejects as `openTarget`.
 */
export async function checkTarget(
  world: World,
  { to, format, overwrite, store }: Omit<TargetOptions, 'mayErase'>,
): Promise<void> {
  if (isNbdUri(to)) return requireRaw(to, format);
  const path = await realTarget(to);
  await requireOutside(path, store);
  const status = await world.files.stat(path);
  if (status?.kind === 'block-device') return requireRaw(path, format);
  await requireReplaceable(world, path, status, { overwrite });
  wantedFormat(resolve(to), format);
}

/** A file that is there already, and the format that it should have. */
export async function existingImage(
  { files }: World,
  { to, format }: Pick<TargetOptions, 'to' | 'format'>,
): Promise<{ readonly path: string; readonly format: ImageFormat } | undefined> {
  if (isNbdUri(to)) return undefined;
  const path = await realTarget(to);
  if ((await files.stat(path))?.kind !== 'file') return undefined;
  return { path, format: wantedFormat(resolve(to), format) };
}

/** Rejects REFUSED, EXISTS, BUSY. */
async function requireReplaceable(
  { files }: World,
  path: string,
  status: FileStatus | undefined,
  { overwrite }: Pick<TargetOptions, 'overwrite'>,
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
