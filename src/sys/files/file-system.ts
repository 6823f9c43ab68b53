/**
 * The part of a POSIX file system that Holdfast uses; nothing outside `sys` imports `node:fs`. All failures are
 * SystemError. The real one is `real-file-system.ts`; tests use one that loses power and one that fails on demand
 * (test/support).
 */
export interface FileSystem {
  /**
   * Makes a new empty file, open for reading and writing; EXISTS if the name is taken. Only this user may read a
   * private one.
   */
  create(path: string, access?: 'private' | 'shared'): Promise<File>;
  /**
   * Never waits for a process at the other end of a pipe. Opening a symbolic link for writing is INVALID: it may lead
   * anywhere. `alone`: opens a block device for writing; BUSY if the device, a part of it, or the device that it is a
   * part of is mounted, used as swap, or in use by LVM, RAID or another process that opened it this way.
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
   * Holds a lock on `path`, a file made for it, until disposed or until this process ends in any way. Rejects BUSY,
   * naming the holder; INVALID if it is a symbolic link.
   */
  lock(path: string, holder: string): Promise<AsyncDisposable>;
  /** The text that the holder gave, if `path` is held now. */
  lockHolder(path: string): Promise<string | undefined>;
  /** Space of the file system that `path` is on. */
  space(path: string): Promise<Space>;
  /**
   * A UUID of this boot of the machine. While it stays the same, all readers see what was written, synced or not,
   * even if the process that wrote it was killed.
   */
  bootId(): Promise<string>;
}

export type FileAccess = 'read' | 'write' | 'alone';

export interface Space {
  /** Used and free bytes together. */
  readonly totalBytes: number;
  /** The bytes that an unprivileged writer may still use. */
  readonly freeBytes: number;
  /** The space of a hole in a file stays taken as long as a part of what was written with it is there (btrfs). */
  readonly keepsHoles?: boolean;
}

export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'block-device' | 'other';
  /** The size in bytes, also of a block device. */
  readonly size: number;
  /** Bytes that it occupies on the disk. */
  readonly allocated: number;
  /** The number of its file system: files with equal numbers share their space. */
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
   * Fills `into` from the page cache, and never waits for the medium. False: the cache does not hold all of the
   * range. Undefined: the file system cannot tell.
   */
  readCached(into: Uint8Array, offset: number): boolean | undefined;
  /**
   * Announces that this range will be read in pieces, so that the medium may fetch it at once. Never fails, and may
   * do nothing.
   */
  willNeed(offset: number, length: number): void;
  /** Writes all of `from`, or rejects; after NO_SPACE a part may have been written. */
  write(from: Uint8Array, offset: number): Promise<void>;
  /** As `write`, blocking this thread. */
  writeNow(from: Uint8Array, offset: number): void;
  /** Makes contents and size durable. A failure is final: a later sync that succeeds proves nothing. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /**
   * Reserves space for this range and makes the file reach its end; existing contents stay, the rest reads as zeros.
   * After a failure a part may have been reserved.
   */
  allocate(offset: number, length: number): Promise<void>;
  /**
   * Drops the whole 4 KiB pages of this range from the page cache if they are on the medium, or are assumed to be:
   * later reads come from there.
   */
  drop(offset: number, length: number): Promise<void>;
  /** Gives the space of a range back, so that it reads as zeros. Does nothing if that is not possible. */
  punchHole(offset: number, length: number): Promise<void>;
  /** The first data at or after `offset`; undefined: only a hole follows. */
  nextData(offset: number): Promise<{ readonly start: number; readonly end: number } | undefined>;
  /** The length of a block device's logical sectors. Throws SystemError. */
  sectorSize(): number;
  /**
   * Holds a lock on byte `at`, which need not exist, until this file is closed; several processes may hold it at once
   * (fcntl(2), "Open file description locks"). False: the file system has no such locks.
   */
  holdByte(at: number): boolean;
  /** Whether the file is open elsewhere with a lock on byte `at`; undefined: that cannot be known. */
  isByteHeld(at: number): boolean | undefined;
}
