/**
 * The part of a POSIX file system that Holdfast leans on; nothing outside `sys` imports `node:fs`.
 * All failures are SystemError. The real one is `real-file-system.ts`; tests have one that loses
 * power and one that fails on demand (test/support).
 */
export interface FileSystem {
  /**
   * Makes a new empty file, open for reading and writing; EXISTS if the name is taken. Only this user may read a
   * private one.
   */
  create(path: string, access?: 'private' | 'shared'): Promise<File>;
  /**
   * Never waits for a process at the other end of a pipe. Opening a symbolic link for writing is INVALID: it may lead
   * anywhere. `alone`: opens a block device for writing; BUSY where it, a part of it or the device that it is a part
   * of is mounted, used as swap, or in use by LVM, RAID or another process that opened it so.
   */
  open(path: string, access: FileAccess): Promise<File>;
  /** The whole contents; refuses (IO) files above `limit` bytes. */
  readFile(path: string, limit: number): Promise<Uint8Array>;
  /** Follows links. */
  stat(path: string): Promise<FileStatus | undefined>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Removes a directory and all that is in it; an absent one is not an error. */
  removeTree(path: string): Promise<void>;
  /**
   * With its parents; an existing one is not an error. Durable only after `syncDirectory` of each parent. Only this
   * user may look into a private one.
   */
  makeDirectory(path: string, access?: 'private' | 'shared'): Promise<void>;
  /** Names, sorted; an absent directory is NOT_FOUND. */
  list(directory: string): Promise<string[]>;
  /** The names in `directory` that are symbolic links, sorted; an absent directory has none. */
  links(directory: string): Promise<string[]>;
  /** Makes creations, renames and removals in `directory` durable. */
  syncDirectory(directory: string): Promise<void>;
  /**
   * Holds `path`, a file that is made for it, until disposed or until this process ends in any way. Rejects BUSY,
   * naming the holder; INVALID where it is a symbolic link.
   */
  lock(path: string, holder: string): Promise<AsyncDisposable>;
  /** The text that the holder gave, if `path` is held now. */
  lockHolder(path: string): Promise<string | undefined>;
  /** Space of the file system that `path` is on. */
  space(path: string): Promise<Space>;
  /**
   * A UUID of this run of the machine's kernel. While it stays the same, all readers see what was written, synced or
   * not, even if the process that wrote it was killed.
   */
  bootId(): Promise<string>;
}

export type FileAccess = 'read' | 'write' | 'alone';

export interface Space {
  /** Used and free bytes together. */
  readonly totalBytes: number;
  /** The bytes that an unprivileged writer may still use. */
  readonly freeBytes: number;
}

export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'block-device' | 'other';
  /** The size in bytes, also of a block device. */
  readonly size: number;
  /** Bytes that it occupies on the disk. */
  readonly allocated: number;
  /** The number of the file system that it lies on: equal numbers share their space. */
  readonly fileSystem: number;
  /** When its contents, or the names in it, last changed, in milliseconds since 1970; NaN: unknown. */
  readonly modifiedMs: number;
}

/** An open file or block device. Buffers are lent until the promise settles. */
export interface File extends AsyncDisposable {
  readonly path: string;
  size(): Promise<number>;
  /** Fills `into` as far as the file reaches and returns the number of bytes read. */
  read(into: Uint8Array, offset: number): Promise<number>;
  /** As `read`, blocking this thread: for data that is known to be in memory, and for worker threads. */
  readNow(into: Uint8Array, offset: number): number;
  /**
   * Fills `into` from what memory holds of the file, and never waits for the medium. False: memory does not hold all
   * of it. Undefined: the file system cannot tell.
   */
  readCached(into: Uint8Array, offset: number): boolean | undefined;
  /** This range will be read in pieces: the medium may fetch it in one. Never fails, and may do nothing. */
  willNeed(offset: number, length: number): void;
  /** All of `from` or a failure; after NO_SPACE a part may have been written. */
  write(from: Uint8Array, offset: number): Promise<void>;
  /** As `write`, blocking this thread. */
  writeNow(from: Uint8Array, offset: number): void;
  /** Contents and size are durable. A failure is final: a retry that succeeds proves nothing. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /**
   * Reserves space for this range and makes the file reach its end; existing contents stay, the rest reads as zeros.
   * After a failure a part may have been reserved.
   */
  allocate(offset: number, length: number): Promise<void>;
  /**
   * Drops from memory the whole 4 KiB pages of this range that are on the medium, or are taken to be: later reads
   * come from there.
   */
  drop(offset: number, length: number): Promise<void>;
  /** Gives the space back; the range reads as zeros. Where that is not possible, it does nothing. */
  punchHole(offset: number, length: number): Promise<void>;
  /** Start of the first data at or after `offset`, its end in `end`; undefined: only a hole follows. */
  nextData(offset: number): Promise<{ readonly start: number; readonly end: number } | undefined>;
  /** How long the logical sectors of a block device are. Throws SystemError. */
  sectorSize(): number;
  /**
   * Holds byte `at`, which need not exist, until this file is closed; several may hold it at once (fcntl(2), "Open
   * file description locks"). Does nothing where the file system has no locks.
   */
  holdByte(at: number): void;
  /** Whether the file is open elsewhere and byte `at` held there. */
  isByteHeld(at: number): boolean;
}
