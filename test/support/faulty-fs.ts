import type { File, FileSystem } from '../../src/sys/files/file-system.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';

export type Operation =
  | 'create'
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'allocate'
  | 'rename'
  | 'unlink'
  | 'syncDirectory';

/** Asked before each call: an error to throw instead. */
export type Faults = (operation: Operation, path: string) => SystemError | undefined;

/** A file system that fails on demand. A failing write writes half of what it was given. */
export function faultyFs(inner: FileSystem, faults: Faults): FileSystem {
  function check(operation: Operation, path: string): void {
    const fault = faults(operation, path);
    if (fault) throw fault;
  }
  function wrapped(file: File): File {
    const { path } = file;
    return {
      ...file,
      async read(into, offset) {
        check('read', path);
        return file.read(into, offset);
      },
      readNow(into, offset) {
        check('read', path);
        return file.readNow(into, offset);
      },
      readCached(into, offset) {
        check('read', path);
        return file.readCached(into, offset);
      },
      async write(from, offset) {
        const fault = faults('write', path);
        if (!fault) return file.write(from, offset);
        await file.write(from.subarray(0, from.length >> 1), offset);
        throw fault;
      },
      writeNow(from, offset) {
        const fault = faults('write', path);
        if (!fault) return file.writeNow(from, offset);
        file.writeNow(from.subarray(0, from.length >> 1), offset);
        throw fault;
      },
      async sync() {
        check('sync', path);
        return file.sync();
      },
      async allocate(offset, length) {
        check('allocate', path);
        return file.allocate(offset, length);
      },
      [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
    };
  }
  return {
    ...inner,
    async create(path) {
      check('create', path);
      return wrapped(await inner.create(path));
    },
    async open(path, access) {
      check('open', path);
      return wrapped(await inner.open(path, access));
    },
    async rename(from, to) {
      check('rename', to);
      await inner.rename(from, to);
    },
    async unlink(path) {
      check('unlink', path);
      await inner.unlink(path);
    },
    async syncDirectory(directory) {
      check('syncDirectory', directory);
      await inner.syncDirectory(directory);
    },
  };
}

export function full(path: string): SystemError {
  return new SystemError('NO_SPACE', `${path}: no space left on device`);
}

export function broken(path: string): SystemError {
  return new SystemError('IO', `${path}: input/output error`);
}
