import type { XdrReader, XdrWriter } from './xdr.ts';

/* NFS version 3 (RFC 1813), sections 2 and 3: numbers, and structures that more than one procedure uses. */

export const PROCEDURES = [
  'null',
  'getattr',
  'setattr',
  'lookup',
  'access',
  'readlink',
  'read',
  'write',
  'create',
  'mkdir',
  'symlink',
  'mknod',
  'remove',
  'rmdir',
  'rename',
  'link',
  'readdir',
  'readdirplus',
  'fsstat',
  'fsinfo',
  'pathconf',
  'commit',
] as const;
export type Procedure = (typeof PROCEDURES)[number];

/** nfsstat3, section 2.6. */
export const STATUS = {
  ok: 0,
  notOwner: 1,
  notFound: 2,
  io: 5,
  access: 13,
  exists: 17,
  notDirectory: 20,
  isDirectory: 21,
  invalid: 22,
  tooLarge: 27,
  noSpace: 28,
  readOnly: 30,
  nameTooLong: 63,
  notEmpty: 66,
  stale: 70,
  badHandle: 10_001,
  notSynced: 10_002,
  notSupported: 10_004,
  tooSmall: 10_005,
  serverFault: 10_006,
} as const;

/** ftype3. */
export const FILE_TYPES = { file: 1, directory: 2, symlink: 5 } as const;
export type FileType = keyof typeof FILE_TYPES;

export const STABILITY = { unstable: 0, dataSync: 1, fileSync: 2 } as const;

/** How CREATE treats an existing file, section 3.3.8. */
export const CREATE_MODES = { unchecked: 0, guarded: 1, exclusive: 2 } as const;

/** Bits of ACCESS, section 3.3.4. */
export const ACCESS_BITS = {
  read: 1,
  lookup: 2,
  modify: 4,
  extend: 8,
  delete: 16,
  execute: 32,
} as const;

/** FSF_*, section 3.3.19. */
export const PROPERTIES = { link: 1, symlink: 2, homogeneous: 8, canSetTime: 16 } as const;

export const HANDLE_LENGTH_MAX = 64;
export const NAME_LENGTH_MAX = 255;
export const PATH_LENGTH_MAX = 1024;
export const VERIFIER_LENGTH = 8;

/** fattr3, section 2.5. Times in milliseconds since 1970; ids as two halves. */
export interface FileAttributes {
  readonly type: FileType;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Bytes that it occupies on the disk. */
  readonly used: number;
  readonly fileIdHigh: number;
  readonly fileIdLow: number;
  readonly accessedMs: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
}

export const ATTRIBUTES_LENGTH = 84;
/** The ID of the export, which is one file system. */
const FILE_SYSTEM_ID = 0x686f6c64;

export function writeAttributes(writer: XdrWriter, of: FileAttributes): void {
  writer.u32(FILE_TYPES[of.type]);
  writer.u32(of.mode);
  writer.u32(of.links);
  writer.u32(of.uid);
  writer.u32(of.gid);
  writer.u64(of.size);
  writer.u64(of.used);
  writer.u64(0);
  writer.u64(FILE_SYSTEM_ID);
  writer.u32(of.fileIdHigh);
  writer.u32(of.fileIdLow);
  writeTime(writer, of.accessedMs);
  writeTime(writer, of.modifiedMs);
  writeTime(writer, of.changedMs);
}

/** post_op_attr. */
export function writeAfter(writer: XdrWriter, of: FileAttributes | undefined): void {
  writer.flag(of !== undefined);
  if (of) writeAttributes(writer, of);
}

/** wcc_attr, with which wcc_data begins: a client compares it with its cache. */
export interface Before {
  readonly size: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
}

/** wcc_data. */
export function writeChange(
  writer: XdrWriter,
  before: Before | undefined,
  after: FileAttributes | undefined,
): void {
  writer.flag(before !== undefined);
  if (before) {
    writer.u64(before.size);
    writeTime(writer, before.modifiedMs);
    writeTime(writer, before.changedMs);
  }
  writeAfter(writer, after);
}

const NS_PER_MS = 1_000_000;

function writeTime(writer: XdrWriter, ms: number): void {
  const seconds = Math.floor(ms / 1000);
  writer.u32(seconds);
  writer.u32(Math.round((ms - seconds * 1000) * NS_PER_MS));
}

function readTime(reader: XdrReader): number {
  return reader.u32() * 1000 + Math.floor(reader.u32() / NS_PER_MS);
}

/** sattr3: the attributes to set; undefined: unchanged. */
export interface NewAttributes {
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly size: number | undefined;
  /** `now`: the server's time. */
  readonly accessedMs: number | 'now' | undefined;
  readonly modifiedMs: number | 'now' | undefined;
}

const PERMISSIONS = 0o7777;

export function readNewAttributes(reader: XdrReader): NewAttributes {
  return {
    mode: reader.flag() ? reader.u32() & PERMISSIONS : undefined,
    uid: reader.flag() ? reader.u32() : undefined,
    gid: reader.flag() ? reader.u32() : undefined,
    size: reader.flag() ? reader.u64() : undefined,
    accessedMs: readNewTime(reader),
    modifiedMs: readNewTime(reader),
  };
}

/** time_how: 0 leave, 1 the server's time, 2 this one. */
function readNewTime(reader: XdrReader): number | 'now' | undefined {
  const how = reader.u32();
  if (how === 2) return readTime(reader);
  return how === 1 ? 'now' : undefined;
}

/** `timespec` of a SETATTR guard, section 3.3.2. */
export function readGuard(reader: XdrReader): number | undefined {
  return reader.flag() ? readTime(reader) : undefined;
}
