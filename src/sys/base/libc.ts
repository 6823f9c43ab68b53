import { createRequire } from 'node:module';
import { asError } from '../../lib/as-error.ts';

/*
 * The few system calls for which Node has no function, by koffi (a prebuilt foreign-function binding). Loaded on
 * first use: most commands need none of them, and loading costs some milliseconds.
 */
export interface Libc {
  /** The new offset, or -1 with `errno`. */
  seek(fd: number, offset: number, whence: number): number;
  /** 0, or -1 with `errno`. */
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  /** The same in another thread. */
  fallocateApart(fd: number, mode: number, offset: number, length: number): Promise<number>;
  /** In another thread: 0, or the error's number. */
  allocate(fd: number, offset: number, length: number): Promise<number>;
  advise(fd: number, offset: number, length: number, advice: number): Promise<number>;
  flock(fd: number, operation: number): number;
  /** The number of bytes read: those that are in memory from `offset` on without a gap; -1 with `errno`. */
  readCached(fd: number, into: Uint8Array, offset: number): number;
  /** In another thread, because the call itself may begin to read; its result is not reported. */
  adviseSoon(fd: number, offset: number, length: number, advice: number): void;
  mallopt(parameter: number, value: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  /** With a `struct flock`: 0, or -1 with `errno`. */
  fcntlLock(fd: number, command: number, lock: Uint8Array): number;
  /** The number of `struct pollfd` in `fds` that have an event; -1 with `errno`. */
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  /** Affects the calling thread only: 0, or -1 with `errno`. */
  unshare(flags: number): number;
  prctl(option: number, argument: number): number;
  /** 0, or -1 with `errno`; `length` holds the room available, and afterwards the length used. */
  getsockopt(
    fd: number,
    level: number,
    name: number,
    value: Uint8Array,
    length: Uint32Array,
  ): number;
  /** 0, or -1 with `errno`. */
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  /** A descriptor, or -1 with `errno`. */
  socket(family: number, kind: number, protocol: number): number;
  /** 0, or -1 with `errno`. */
  connect(fd: number, address: Uint8Array, length: number): number;
  /** 0, or -1 with `errno`. */
  ioctl(fd: number, request: number, value: Int32Array): number;
  errno(): number;
}

// socket(2).
export const AF_UNIX = 1;
export const SOCK_DATAGRAM = 2;
export const SOCK_NOT_BLOCKING = 0o4000;
export const SOCK_CLOSE_ON_EXEC = 0o2000000;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const LOCK_EXCLUSIVE = 2;
export const LOCK_NOT_BLOCKING = 4;
export const FADVISE_WILL_NEED = 3;
export const FADVISE_DO_NOT_NEED = 4;
export const FCNTL_SET_FLAGS = 4;
export const FCNTL_SET_OWNER = 8;
export const FCNTL_GET_LOCK = 36;
export const FCNTL_SET_LOCK = 37;
/** BLKSSZGET in linux/fs.h. */
export const GET_SECTOR_SIZE = 0x1268;
export const POLL_IN = 1;
export const POLL_ERROR = 8;
/** preadv2(2): RWF_NOWAIT. */
const READ_WITHOUT_WAITING = 8;
/** prctl(2): PR_SET_IO_FLUSHER. */
export const SET_IO_FLUSHER = 57;
export const MALLOC_TRIM_THRESHOLD = -1;
export const MALLOC_MMAP_THRESHOLD = -3;

let loaded: Libc | undefined;

export function libc(): Libc {
  return (loaded ??= load());
}

function load(): Libc {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = koffi.load('libc.so.6');
  // Variadic in C; the kernel takes five arguments and requires unused ones to be zero.
  const prctl = library.func(
    'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
  ) as (...all: number[]) => number;
  const fadvise = library.func(
    'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
  );
  // Where the file system cannot allocate, this writes a byte into each block.
  const allocate = library.func('int posix_fallocate(int fd, int64_t offset, int64_t length)');
  const readVector = library.func(
    'int64_t preadv2(int fd, void *vector, int count, int64_t offset, int flags)',
  );
  /** `struct iovec`: address, length. */
  const vector = new BigUint64Array(2);
  const fallocate = library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
  return {
    seek: library.func('int64_t lseek(int fd, int64_t offset, int whence)'),
    fallocate,
    fallocateApart: (...all) => apart(fallocate, all),
    allocate: (...all) => apart(allocate, all),
    advise: (...all) => apart(fadvise, all),
    flock: library.func('int flock(int fd, int operation)'),
    readCached(fd, into, offset) {
      vector[0] = koffi.address(into);
      vector[1] = BigInt(into.length);
      return readVector(fd, vector, 1, offset, READ_WITHOUT_WAITING);
    },
    adviseSoon: (...all) => fadvise.async(...all, () => {}),
    mallopt: library.func('int mallopt(int parameter, int value)'),
    fcntl: library.func('int fcntl(int fd, int command, long argument)'),
    fcntlLock: library.func('int fcntl(int fd, int command, _Inout_ uint8_t *lock)'),
    poll: library.func('int poll(uint8_t *fds, unsigned long count, int timeout)'),
    unshare: library.func('int unshare(int flags)'),
    prctl: (option, argument) => prctl(option, argument, 0, 0, 0),
    getsockopt: library.func(
      'int getsockopt(int fd, int level, int name, _Inout_ uint8_t *value, _Inout_ uint32_t *length)',
    ),
    setsockopt: library.func(
      'int setsockopt(int fd, int level, int name, uint8_t *value, uint32_t length)',
    ),
    socket: library.func('int socket(int family, int kind, int protocol)'),
    connect: library.func('int connect(int fd, uint8_t *address, uint32_t length)'),
    ioctl: library.func('int ioctl(int fd, unsigned long request, _Out_ int32_t *value)'),
    errno: () => koffi.errno(),
  };
}

type Call = ReturnType<import('koffi').LibraryHandle['func']>;

function apart(call: Call, all: readonly unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...all, (cause: unknown, result: number) =>
      cause ? reject(asError(cause)) : resolve(result),
    );
  });
}
