import {
  closeSync,
  constants,
  fdatasync,
  fsync,
  fstatSync,
  ftruncate,
  open,
  promises,
} from 'node:fs';
import { read, readSync, write, writeSync } from 'node:fs';
import { dirname } from 'node:path/posix';
import { getSystemErrorName, promisify } from 'node:util';
import type { File, FileAccess, FileStatus, FileSystem } from './file-system.ts';
import {
  FADVISE_DO_NOT_NEED,
  FADVISE_WILL_NEED,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FCNTL_GET_LOCK,
  FCNTL_SET_LOCK,
  libc,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  GET_SECTOR_SIZE,
} from '../base/libc.ts';
import { type DescriptorUse, descriptorUse } from './descriptor-use.ts';
import { lockHolder, takeLock } from './lock-file.ts';
import { SystemError, systemError } from '../base/system-error.ts';

const openFile = promisify(open);
const syncAll = promisify(fsync);
const syncData = promisify(fdatasync);
const truncateFile = promisify(ftruncate);
const ENXIO = 6;
const EOPNOTSUPP = 95;
const OPEN_FLAGS = {
  read: constants.O_RDONLY | constants.O_NONBLOCK,
  write: constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW,
  // open(2): O_EXCL of a block device, without O_CREAT.
  alone: constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_EXCL,
} as const satisfies Record<FileAccess, number>;

/** The machine's own file system. */
export function realFileSystem(): FileSystem {
  const { O_RDWR, O_RDONLY, O_CREAT, O_EXCL } = constants;
  return {
    async create(path, access = 'private') {
      return doing(`create ${path}`, async () => {
        const mode = access === 'private' ? 0o600 : 0o644;
        return fileOf(path, await openFile(path, O_RDWR | O_CREAT | O_EXCL, mode));
      });
    },
    async open(path, access) {
      return doing(`open ${path}`, async () => {
        return fileOf(path, await openFile(path, OPEN_FLAGS[access]));
      });
    },
    async readFile(path, limit) {
      await using file = await this.open(path, 'read');
      const size = await file.size();
      if (size > limit) throw new SystemError('IO', `${path}: ${size} bytes, at most ${limit}`);
      const bytes = new Uint8Array(size);
      const length = await file.read(bytes, 0);
      return bytes.subarray(0, length);
    },
    stat: (path) => doing(`stat ${path}`, () => status(path)),
    rename: (from, to) => doing(`rename ${from} to ${to}`, () => promises.rename(from, to)),
    unlink: (path) => doing(`remove ${path}`, () => promises.unlink(path)),
    removeTree: (path) =>
      doing(`remove ${path}`, () => promises.rm(path, { recursive: true, force: true })),
    async makeDirectory(path, access = 'private') {
      await doing(`create directory ${path}`, async () => {
        // Other users need the parents, too: they are not made private.
        await promises.mkdir(dirname(path), { recursive: true });
        const mode = access === 'private' ? 0o700 : 0o755;
        try {
          // With `recursive` Node reports ENOENT for a read-only file system.
          await promises.mkdir(path, { mode });
        } catch (cause) {
          const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST';
          if (!isThere || (await status(path))?.kind !== 'directory') throw cause;
        }
      });
    },
    list: (directory) =>
      doing(`list ${directory}`, async () => (await promises.readdir(directory)).sort()),
    links: (directory) => doing(`list ${directory}`, () => linksIn(directory)),
    syncDirectory: (directory) =>
      doing(`sync directory ${directory}`, async () => {
        const fd = await openFile(directory, O_RDONLY);
        try {
          await syncAll(fd);
        } finally {
          closeSync(fd);
        }
      }),
    lock: takeLock,
    lockHolder: async (path) => lockHolder(path),
    space: (path) =>
      doing(`space of ${path}`, async () => {
        const { bavail, bfree, blocks, bsize, type } = await promises.statfs(path);
        // As df(1): blocks reserved for root are neither free nor used.
        const space = { freeBytes: bavail * bsize, totalBytes: (blocks - bfree + bavail) * bsize };
        return type === BTRFS ? { ...space, keepsHoles: true } : space;
      }),
    bootId: () =>
      doing('read the boot ID', async () => {
        const id = (await promises.readFile(BOOT_ID, 'latin1')).trim();
        if (UUID.test(id)) return id;
        throw new SystemError('IO', `${BOOT_ID} does not hold a boot ID but "${id.slice(0, 80)}"`);
      }),
  };
}

/** statfs(2): BTRFS_SUPER_MAGIC */
const BTRFS = 0x9123683e;
/** random(4) */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Most discards of a guest's file system are no larger; punching them here takes less time than a request to another
 * thread.
 */
const PUNCH_NOW_MAX = 1024 * 1024;

function fileOf(path: string, fd: number): File {
  const use = descriptorUse(path, fd);
  const { checkOpen, during } = use;
  const open = { path, fd, use };
  return {
    path,
    async size() {
      checkOpen();
      return sizeOf(path, fd);
    },
    read: (into, offset) => readFully(open, into, offset),
    readNow(into, offset) {
      checkOpen();
      let done = 0;
      try {
        while (done < into.length) {
          const count = readSync(fd, into, done, into.length - done, offset + done);
          if (count === 0) break;
          done += count;
        }
      } catch (cause) {
        throw systemError(cause, `read ${path} at ${offset}`);
      }
      return done;
    },
    readCached(into, offset) {
      checkOpen();
      const count = libc().readCached(fd, into, offset);
      if (count >= 0) return count === into.length;
      return libc().errno() === EOPNOTSUPP ? undefined : false;
    },
    willNeed(offset, length) {
      checkOpen();
      libc().adviseSoon(fd, offset, length, FADVISE_WILL_NEED);
    },
    write: (from, offset) => writeFully(open, from, offset),
    writeNow(from, offset) {
      checkOpen();
      try {
        for (let done = 0; done < from.length; ) {
          done += writeSync(fd, from, done, from.length - done, offset + done);
        }
      } catch (cause) {
        throw systemError(cause, `write ${path} at ${offset}`);
      }
    },
    // fdatasync also makes the size durable where it grew.
    sync: () => during(() => doing(`sync ${path}`, () => syncData(fd))),
    truncate: (size) => during(() => doing(`truncate ${path}`, () => truncateFile(fd, size))),
    allocate: (offset, length) =>
      during(() =>
        doing(`take space for ${path}`, () => numbered(libc().allocate(fd, offset, length))),
      ),
    drop: (offset, length) =>
      during(() =>
        doing(`drop ${path} from memory`, () =>
          numbered(libc().advise(fd, offset, length, FADVISE_DO_NOT_NEED)),
        ),
      ),
    punchHole: (offset, length) => during(() => punchHole({ path, fd }, offset, length)),
    async nextData(offset) {
      checkOpen();
      return nextData(path, fd, offset);
    },
    sectorSize() {
      checkOpen();
      const found = new Int32Array(1);
      if (libc().ioctl(fd, GET_SECTOR_SIZE, found) === 0) return found[0]!;
      throw new SystemError('IO', `sector size of ${path}: error ${libc().errno()}`);
    },
    holdByte(at) {
      checkOpen();
      return libc().fcntlLock(fd, FCNTL_SET_LOCK, byteLock(SHARED, at)) === 0;
    },
    isByteHeld(at) {
      checkOpen();
      const lock = byteLock(EXCLUSIVE, at);
      if (libc().fcntlLock(fd, FCNTL_GET_LOCK, lock) !== 0) return undefined;
      return new DataView(lock.buffer).getInt16(0, true) !== FREE;
    },
    [Symbol.asyncDispose]: use.close,
  };
}

interface Open {
  readonly path: string;
  readonly fd: number;
  /** Undefined: the caller counts the use. */
  readonly use?: DescriptorUse;
}

async function punchHole(open: Open, offset: number, length: number): Promise<void> {
  const { path, fd } = open;
  // If the file system cannot punch holes, the blocks stay: zeros have to be written.
  const mode = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE;
  const { fallocate, fallocateApart } = libc();
  // A long range may have thousands of extents to give back.
  const punch = length > PUNCH_NOW_MAX ? fallocateApart : fallocate;
  if ((await punch(fd, mode, offset, length)) === 0) return;
  await writeZeros(open, offset, Math.min(length, sizeOf(path, fd) - offset));
}

/** Turns the error number that a call returns into an error. */
async function numbered(call: Promise<number>): Promise<void> {
  const number = await call;
  if (number === 0) return;
  const code = getSystemErrorName(-number);
  throw Object.assign(new Error(code), { code });
}

/** fcntl(2): l_type. */
const SHARED = 0;
const EXCLUSIVE = 1;
const FREE = 2;

/** `struct flock` of 64-bit Linux: type, whence, start (8), length (16), process (24). */
function byteLock(type: number, at: number): Uint8Array<ArrayBuffer> {
  const lock = new Uint8Array(32);
  const view = new DataView(lock.buffer);
  view.setInt16(0, type, true);
  view.setBigInt64(8, BigInt(at), true);
  view.setBigInt64(16, 1n, true);
  return lock;
}

const ZEROS = new Uint8Array(1024 * 1024);

async function writeZeros(open: Open, offset: number, length: number): Promise<void> {
  for (let done = 0; done < length; done += ZEROS.length) {
    const part = ZEROS.subarray(0, Math.min(ZEROS.length, length - done));
    await writeFully(open, part, offset + done);
  }
}

/** With callbacks each call costs half of what it costs with node:fs/promises. */
function readFully({ path, fd, use }: Open, into: Uint8Array, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    use?.begin();
    function more(done: number): void {
      if (done === into.length) return ended(done);
      read(fd, into, done, into.length - done, offset + done, (cause, count) => {
        if (cause) {
          use?.end();
          reject(systemError(cause, `read ${path} at ${offset + done}`));
        } else if (count === 0) ended(done);
        else more(done + count);
      });
    }
    function ended(done: number): void {
      use?.end();
      resolve(done);
    }
    more(0);
  });
}

function writeFully({ path, fd, use }: Open, from: Uint8Array, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    use?.begin();
    function more(done: number): void {
      if (done === from.length) {
        use?.end();
        return resolve();
      }
      write(fd, from, done, from.length - done, offset + done, (cause, count) => {
        if (cause) {
          use?.end();
          reject(systemError(cause, `write ${path} at ${offset + done}`));
        } else more(done + count);
      });
    }
    more(0);
  });
}

function sizeOf(path: string, fd: number): number {
  try {
    const stat = fstatSync(fd);
    return stat.isBlockDevice() ? libc().seek(fd, 0, SEEK_END) : stat.size;
  } catch (cause) {
    throw systemError(cause, `size of ${path}`);
  }
}

function nextData(path: string, fd: number, offset: number) {
  const size = sizeOf(path, fd);
  if (offset >= size) return undefined;
  const start = libc().seek(fd, offset, SEEK_DATA);
  if (start >= 0) {
    const end = libc().seek(fd, start, SEEK_HOLE);
    return { start, end: end > start ? Math.min(end, size) : size };
  }
  // ENXIO: only a hole follows. Other errors (a block device): everything may be data.
  return libc().errno() === ENXIO ? undefined : { start: offset, end: size };
}

async function status(path: string): Promise<FileStatus | undefined> {
  try {
    const stat = await promises.stat(path);
    if (stat.isBlockDevice()) {
      const fd = await openFile(path, constants.O_RDONLY);
      try {
        return {
          kind: 'block-device',
          size: sizeOf(path, fd),
          allocated: 0,
          fileSystem: stat.dev,
          modifiedMs: Number.NaN,
        };
      } finally {
        closeSync(fd);
      }
    }
    const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : 'other';
    const { size, dev: fileSystem, mtimeMs: modifiedMs } = stat;
    return { kind, size, allocated: stat.blocks * 512, fileSystem, modifiedMs };
  } catch (cause) {
    const error = systemError(cause, `stat ${path}`);
    if (error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

async function linksIn(directory: string): Promise<string[]> {
  try {
    const entries = await promises.readdir(directory, { withFileTypes: true });
    return entries.flatMap((it) => (it.isSymbolicLink() ? [it.name] : [])).sort();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cause;
  }
}

async function doing<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw systemError(cause, what);
  }
}
