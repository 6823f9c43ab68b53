/*
 * The FUSE kernel protocol, version 7 (linux/include/uapi/linux/fuse.h): the kernel's requests through /dev/fuse, and
 * the replies. All integers are in the machine's byte order, which is little-endian wherever Holdfast runs.
 *
 *   request: 0 u32 length  4 u32 opcode  8 u64 unique  16 u64 node  24 u32 uid  28 u32 gid  32 u32 pid
 *            36 u32 -  40 body
 *   reply:   0 u32 length  4 i32 -errno  8 u64 unique  16 body
 */
export const OPCODES = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  lseek: 46,
} as const;

export const REQUEST_HEADER_LENGTH = 40;
export const REPLY_HEADER_LENGTH = 16;
/** The most bytes that a request has besides the data of a write. */
export const REQUEST_ROOM = 4096;

export const INIT_FLAGS = {
  asyncRead: 1 << 0,
  bigWrites: 1 << 5,
  doReaddirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  asyncDio: 1 << 15,
  parallelDirops: 1 << 18,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  initExt: 1 << 30,
} as const;

/** The upper half of INIT's flags. */
export const INIT_FLAGS_2 = {
  directIoAllowMmap: 1 << (36 - 32),
} as const;

export const OPEN_FLAGS = {
  directIo: 1 << 0,
  keepCache: 1 << 1,
  cacheDirectory: 1 << 3,
  parallelDirectWrites: 1 << 6,
} as const;

export const SETATTR_VALID = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
} as const;

/** fallocate(2). */
export const FALLOCATE_MODES = { keepSize: 1, punchHole: 2, zeroRange: 16 } as const;

/** lseek(2). */
export const WHENCE = { data: 3, hole: 4 } as const;

/** errno(3), as Linux numbers them on x86-64 and arm64. */
export const ERRNO = {
  perm: 1,
  noEntry: 2,
  interrupted: 4,
  io: 5,
  noDevice: 19,
  nxio: 6,
  exists: 17,
  notDirectory: 20,
  isDirectory: 21,
  invalid: 22,
  tooBig: 27,
  noSpace: 28,
  readOnly: 30,
  nameTooLong: 36,
  noSystem: 38,
  notEmpty: 39,
  notSupported: 95,
  protocol: 71,
  timedOut: 110,
  stale: 116,
} as const;

export interface RequestHeader {
  readonly length: number;
  readonly opcode: number;
  readonly unique: number;
  readonly node: number;
}

const UNIQUE_MASK = 0x7fff_ffff;

export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** The ID without the bit that marks a resent request: enough to identify it. */
export function readUnique(view: DataView, at: number): number {
  return view.getUint32(at, true) + (view.getUint32(at + 4, true) & UNIQUE_MASK) * 2 ** 32;
}

export function readRequestHeader(view: DataView): RequestHeader {
  return {
    length: view.getUint32(0, true),
    opcode: view.getUint32(4, true),
    unique: readUnique(view, 8),
    node: readU64(view, 16),
  };
}

export interface FuseAttributes {
  readonly node: number;
  readonly size: number;
  /** Type and permissions, as in stat(2). */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly accessedMs: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
}

export const FILE_TYPES = { directory: 0o040000, file: 0o100000, symlink: 0o120000 } as const;

const ATTRIBUTES_LENGTH = 88;
/** The preferred unit of reading a disk. */
const BLOCK_LENGTH = 4096;
const SECTOR_LENGTH = 512;

/** struct fuse_attr. */
function writeAttributes(view: DataView, at: number, attributes: FuseAttributes): void {
  const { node, size, mode, links, uid, gid } = attributes;
  writeU64(view, at, node);
  writeU64(view, at + 8, size);
  writeU64(view, at + 16, Math.ceil(size / SECTOR_LENGTH));
  const { accessedMs, modifiedMs, changedMs } = attributes;
  [accessedMs, modifiedMs, changedMs].forEach((ms, index) => {
    writeU64(view, at + 24 + 8 * index, Math.max(0, Math.floor(ms / 1000)));
    view.setUint32(at + 48 + 4 * index, (Math.max(0, Math.floor(ms)) % 1000) * 1_000_000, true);
  });
  view.setUint32(at + 60, mode, true);
  view.setUint32(at + 64, links, true);
  view.setUint32(at + 68, uid, true);
  view.setUint32(at + 72, gid, true);
  view.setUint32(at + 76, 0, true);
  view.setUint32(at + 80, BLOCK_LENGTH, true);
  view.setUint32(at + 84, 0, true);
}

export const ATTR_REPLY_LENGTH = 16 + ATTRIBUTES_LENGTH;

/** struct fuse_attr_out. `validS`: how long the kernel may cache it. */
export function writeAttrReply(view: DataView, attributes: FuseAttributes, validS: number): void {
  writeU64(view, 0, validS);
  writeU64(view, 8, 0);
  writeAttributes(view, 16, attributes);
}

export const ENTRY_LENGTH = 40 + ATTRIBUTES_LENGTH;

/** struct fuse_entry_out. */
export function writeEntry(
  view: DataView,
  at: number,
  attributes: FuseAttributes,
  validS: number,
): void {
  writeU64(view, at, attributes.node);
  writeU64(view, at + 8, 0);
  writeU64(view, at + 16, validS);
  writeU64(view, at + 24, validS);
  writeU64(view, at + 32, 0);
  writeAttributes(view, at + 40, attributes);
}

const DIRENT_HEADER_LENGTH = 24;

export function direntLength(nameLength: number): number {
  return (DIRENT_HEADER_LENGTH + nameLength + 7) & ~7;
}

export interface Dirent {
  readonly node: number;
  /** Where the next entry begins. */
  readonly next: number;
  /** One of FILE_TYPES. */
  readonly type: number;
  readonly name: Uint8Array;
}

/** struct fuse_dirent; `bytes` and `view` show the same memory. */
export function writeDirent(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  { node, next, type, name }: Dirent,
): void {
  writeU64(view, at, node);
  writeU64(view, at + 8, next);
  view.setUint32(at + 16, name.length, true);
  view.setUint32(at + 20, type >>> 12, true);
  bytes.set(name, at + DIRENT_HEADER_LENGTH);
  bytes.fill(0, at + DIRENT_HEADER_LENGTH + name.length, at + direntLength(name.length));
}

export const STATFS_LENGTH = 80;

/** struct fuse_statfs_out. */
export function writeStatfs(
  view: DataView,
  {
    totalBytes,
    freeBytes,
    nameMax,
  }: { readonly totalBytes: number; readonly freeBytes: number; readonly nameMax: number },
): void {
  for (let at = 0; at < STATFS_LENGTH; at += 4) view.setUint32(at, 0, true);
  writeU64(view, 0, Math.floor(totalBytes / BLOCK_LENGTH));
  writeU64(view, 8, Math.floor(freeBytes / BLOCK_LENGTH));
  writeU64(view, 16, Math.floor(freeBytes / BLOCK_LENGTH));
  view.setUint32(40, BLOCK_LENGTH, true);
  view.setUint32(44, nameMax, true);
  view.setUint32(48, BLOCK_LENGTH, true);
}

export interface FuseVersion {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly flags2: number;
}

/** struct fuse_init_in; kernels before 7.36 send no upper half of the flags: then it must be zero here. */
export function readInit(body: DataView): FuseVersion {
  return {
    major: body.getUint32(0, true),
    minor: body.getUint32(4, true),
    maxReadahead: body.getUint32(8, true),
    flags: body.getUint32(12, true),
    flags2: body.getUint32(16, true),
  };
}

export interface InitReply extends FuseVersion {
  readonly maxBackground: number;
  readonly maxWrite: number;
  readonly maxPages: number;
}

export const INIT_REPLY_LENGTH = 64;

/** struct fuse_init_out. */
export function writeInitReply(view: DataView, init: InitReply): void {
  for (let at = 0; at < INIT_REPLY_LENGTH; at += 4) view.setUint32(at, 0, true);
  view.setUint32(0, init.major, true);
  view.setUint32(4, init.minor, true);
  view.setUint32(8, init.maxReadahead, true);
  view.setUint32(12, init.flags, true);
  view.setUint16(16, init.maxBackground, true);
  view.setUint16(18, Math.floor((init.maxBackground * 3) / 4), true);
  view.setUint32(20, init.maxWrite, true);
  view.setUint32(24, 1, true);
  view.setUint16(28, init.maxPages, true);
  view.setUint32(32, init.flags2, true);
}

/** Asks the kernel to resend the requests that a dead server had taken (since Linux 6.9). */
export function resendNotification(): Uint8Array {
  const bytes = new Uint8Array(REPLY_HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, REPLY_HEADER_LENGTH, true);
  view.setInt32(4, NOTIFY_RESEND, true);
  return bytes;
}

const NOTIFY_RESEND = 7;
