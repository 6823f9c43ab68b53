/**
 * The part of a POSIX file system that Holdfast leans on; nothing outside `sys` imports `node:fs`.
 * All failures are SystemError. The real one is `real-file-system.ts`; tests have one that loses
 * power and one that fails on demand (test/support).
 */
export interface FileSystem {
  /**
   * Makes a new empty file, open for reading and writing; EXISTS if the name is taken. Nobody else may read a
   * private one.
   */
  create(path: string, access?: 'private' | 'shared'): Promise<File>;
  /**
   * Never waits for a process at the other end of a pipe. To be written a symbolic link is INVALID: it may lead
   * anywhere. `alone`: a block device, to be written, BUSY where it, a part of it or what it is a part of is mounted,
   * swapped to, or in use by LVM, RAID or another that opened it so.
   */
  open(path: string, access: FileAccess): Promise<File>;
  /** The whole contents; refuses (IO) files above `limit` bytes. */
  readFile(path: string, limit: number): Promise<Uint8Array>;
  /** Follows links. */
  stat(path: string): Promise<FileStatus | undefined>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Removes a directory and all that is in it; nothing there is no error. */
  removeTree(path: string): Promise<void>;
  /**
   * With its parents; an existing one is no error. Durable only after `syncDirectory` of each parent. Nobody
   * else may look into a private one.
   */
  makeDirectory(path: string, access?: 'private' | 'shared'): Promise<void>;
  /** Names, sorted; an absent directory is NOT_FOUND. */
  list(directory: string): Promise<string[]>;
  /** Those names in `directory`, sorted, that are symbolic links; an absent directory has none. */
  links(directory: string): Promise<string[]>;
  /** Makes creations, renames and removals in `directory` durable. */
  syncDirectory(directory: string): Promise<void>;
  /**
   * Holds `path`, a file that is made for it, until disposed or until this process ends in whatever way.
   * Rejects BUSY, naming the holder; INVALID where it is a symbolic link.
   */
  lock(path: string, holder: string): Promise<AsyncDisposable>;
  /** The holder's own words, if someone holds `path` now. */
  lockHolder(path: string): Promise<string | undefined>;
  /** Of the file system that `path` is on. */
  space(path: string): Promise<Space>;
  /**
   * A UUID of this run of the machine's kernel. While it stays the same, what was written is there for whoever
   * reads, synced or not, even if the process that wrote was killed.
   */
  bootId(): Promise<string>;
}

export type FileAccess = 'read' | 'write' | 'alone';

export interface Space {
  /** What is taken, and what is free. */
  readonly totalBytes: number;
  /** What an unprivileged writer may still take. */
  readonly freeBytes: number;
}

export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'block-device' | 'other';
  /** Of a block device too. */
  readonly size: number;
  /** Bytes really taken on the disk. */
  readonly allocated: number;
  /** The number of the file system that it lies on: equal numbers share their space. */
  readonly fileSystem: number;
  /** When its contents, or the names in it, last changed, in milliseconds since 1970; NaN: nobody knows. */
  readonly modifiedMs: number;
}

/** An open file or block device. Buffers are lent until the promise settles. */
export interface File extends AsyncDisposable {
  readonly path: string;
  size(): Promise<number>;
  /** Fills `into` as far as the file reaches and returns how far that was. */
  read(into: Uint8Array, offset: number): Promise<number>;
  /** As `read`, blocking this thread: for what is known to be in memory, and for worker threads. */
  readNow(into: Uint8Array, offset: number): number;
  /**
   * Fills `into` from what memory holds of the file, and never waits for the medium. False: not all of it is there.
   * Undefined: the file system cannot tell.
   */
  readCached(into: Uint8Array, offset: number): boolean | undefined;
  /** This range will be read in pieces: the medium may fetch it in one. Never fails, and may do nothing. */
  willNeed(offset: number, length: number): void;
  /** All of `from` or a failure; after NO_SPACE a part may have been written. */
  write(from: Uint8Array, offset: number): Promise<void>;
  /** As `write`, blocking this thread. */
  writeNow(from: Uint8Array, offset: number): void;
  /** Contents and size are durable. A failure is final: never retried and believed. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /**
   * Takes space for this range and makes the file reach its end; what was there stays, the rest reads as zeros. After a
   * failure a part may have been taken.
   */
  allocate(offset: number, length: number): Promise<void>;
  /**
   * Lets go of what memory holds of the whole 4 KiB pages in this range and is on the medium, or is taken to be: they
   * are read from there.
   */
  drop(offset: number, length: number): Promise<void>;
  /** Gives the space back; the range reads as zeros. Does nothing more where that is not possible. */
  punchHole(offset: number, length: number): Promise<void>;
  /** Start of the first data at or after `offset`, its end in `end`; undefined: only a hole follows. */
  nextData(offset: number): Promise<{ readonly start: number; readonly end: number } | undefined>;
  /** How long the logical sectors of a block device are. Throws SystemError. */
  sectorSize(): number;
  /**
   * Holds byte `at`, which need not exist, until this file is closed, beside others who hold it (fcntl(2), "Open file
   * description locks"). Does nothing where the file system has no locks.
   */
  holdByte(at: number): void;
  /** Whether the file is open elsewhere and byte `at` held there. */
  isByteHeld(at: number): boolean;
}
