import type { File, FileSystem } from '../sys/files/file-system.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { BlockDevice, Extent, WritableBlockDevice } from './block-device.ts';
import { BlockError } from './block-error.ts';
import { readLayer, type WriteOps, writeLayer } from './layer.ts';

const BLOCK_LENGTH = 4096;

/** A raw disk image or a block device, read-only. Holes of a sparse file are known without reading. */
export async function fileDevice(files: FileSystem, path: string): Promise<BlockDevice> {
  const file = await files.open(path, 'read');
  const size = await file.size();
  return readLayer(path, { size, blockSize: BLOCK_LENGTH }, fileOps(file, size));
}

/** As `fileDevice`, but writable; the size stays the same. */
export async function writableFileDevice(
  files: FileSystem,
  path: string,
  access: 'write' | 'alone' = 'write',
): Promise<WritableBlockDevice> {
  const file = await files.open(path, access);
  const size = await file.size();
  return writeLayer(path, { size, blockSize: BLOCK_LENGTH }, fileOps(file, size));
}

function fileOps(file: File, size: number): WriteOps {
  return {
    async read(into, offset) {
      const length = await failingAs(`read at ${offset}`, () => file.read(into, offset));
      if (length < into.length) {
        throw new BlockError('IO', `${file.path} ends at ${offset + length}; it was ${size} long`);
      }
    },
    extents: (offset, length) => failingAs('find data', () => extentsOf(file, offset, length)),
    async write(from, offset, durability) {
      await failingAs(`write at ${offset}`, () => file.write(from, offset));
      if (durability === 'durable') await failingAs('sync', () => file.sync());
    },
    async zero(offset, length, durability) {
      await failingAs(`zero at ${offset}`, () => file.punchHole(offset, length));
      if (durability === 'durable') await failingAs('sync', () => file.sync());
    },
    flush: () => failingAs('sync', () => file.sync()),
    close: async () => file[Symbol.asyncDispose](),
  };
}

async function extentsOf(file: File, offset: number, length: number): Promise<Extent[]> {
  const extents: Extent[] = [];
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const data = await file.nextData(at);
    const start = Math.min(data?.start ?? end, end);
    if (start > at) extents.push({ offset: at, length: start - at, kind: 'zero' });
    const stop = Math.min(data?.end ?? end, end);
    if (stop > start) extents.push({ offset: start, length: stop - start, kind: 'data' });
    at = Math.max(stop, start);
  }
  return extents;
}

/** With what fails of a file as errors of its disk. */
export async function failingAs<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw blockError(cause, what);
  }
}

/** The error of a disk for the failure of its file. */
export function blockError(cause: unknown, what: string): unknown {
  if (!(cause instanceof SystemError)) return cause;
  const code = cause.code === 'NO_SPACE' ? 'NO_SPACE' : 'IO';
  return new BlockError(code, `${what}: ${cause.message}`, { cause });
}
