import { crc32 } from 'node:zlib';
import { assert } from '../../lib/assert.ts';
import { concatBytes, utf8 } from '../../lib/bytes.ts';
import { MiB } from '../../lib/sizes.ts';
import { FormatError } from '../format-error.ts';
import { checkZero } from '../spare-bytes.ts';
import { type Fields, parseFields } from './json-record.ts';

// The names beside a session's disks: a header, then a log of changes. Grammar: files-log.md.

export interface FileNode {
  readonly id: number;
  readonly kind: 'directory' | 'file' | 'symlink';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  readonly accessedMs: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
  /** Of a symlink. */
  readonly target: string | undefined;
  /** The disk whose bytes this file shows. */
  readonly disk: string | undefined;
  readonly exclusive: string | undefined;
}

export type FilesChange =
  | { readonly op: 'put'; readonly node: FileNode }
  | { readonly op: 'drop'; readonly id: number }
  | {
      readonly op: 'enter';
      readonly directory: number;
      readonly name: string;
      readonly id: number;
      readonly cookie: number;
    }
  | { readonly op: 'leave'; readonly directory: number; readonly name: string }
  | { readonly op: 'next'; readonly id: number };

export const FILES_LOG_HEADER_LENGTH = 8;
/** Of one record. An operation has six at most; many of them share a record. */
export const CHANGES_MAX = 256;

const MAGIC = 0x6c664648;
const VERSION = 1;
const RECORD_HEADER_LENGTH = 8;
/** CHANGES_MAX times a symbolic link to 1024 bytes, each of them written as an escape of six. */
const RECORD_LENGTH_MAX = 2 * MiB;
const ID_MAX = Number.MAX_SAFE_INTEGER;

/** How records follow each other. One that is empty is none: a torn sector of zeros would be one. */
export const filesRecords = {
  headLength: RECORD_HEADER_LENGTH,
  lengthMax: RECORD_LENGTH_MAX,
  lengthAt(view: DataView, at: number): number | undefined {
    const length = RECORD_HEADER_LENGTH + view.getUint32(at, true);
    return length > RECORD_HEADER_LENGTH && length <= RECORD_LENGTH_MAX ? length : undefined;
  },
  isSound(record: Uint8Array): boolean {
    const view = new DataView(record.buffer, record.byteOffset, RECORD_HEADER_LENGTH);
    return crc32(record.subarray(RECORD_HEADER_LENGTH)) === view.getUint32(4, true);
  },
};

export function encodeFilesLogHeader(): Uint8Array {
  const bytes = new Uint8Array(FILES_LOG_HEADER_LENGTH);
  new DataView(bytes.buffer).setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  return bytes;
}

export function checkFilesLogHeader(bytes: Uint8Array): void {
  if (bytes.length < FILES_LOG_HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `files log of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, FILES_LOG_HEADER_LENGTH);
  if (view.getUint32(0, true) !== MAGIC) throw new FormatError('BAD_MAGIC', 'no files log');
  if (bytes[4] !== VERSION) throw new FormatError('UNSUPPORTED', `files log version ${bytes[4]}`);
  checkZero(bytes, { from: 5, to: FILES_LOG_HEADER_LENGTH }, 'files log header');
}

/** At most CHANGES_MAX: operations that happened, all of them whole. */
export function encodeFilesRecord(changes: readonly FilesChange[]): Uint8Array {
  assert(changes.length <= CHANGES_MAX, `a record of ${changes.length} changes`);
  const body = utf8(JSON.stringify({ changes: changes.map(encodeChange) }));
  const head = new Uint8Array(RECORD_HEADER_LENGTH);
  assert(head.length + body.length <= RECORD_LENGTH_MAX, `a record of ${body.length} bytes`);
  const view = new DataView(head.buffer);
  view.setUint32(0, body.length, true);
  view.setUint32(4, crc32(body), true);
  return concatBytes(head, body);
}

/** The record that begins at `bytes`, and its length; undefined: the log ends here. */
export function decodeFilesRecord(
  bytes: Uint8Array,
): { readonly changes: readonly FilesChange[]; readonly length: number } | undefined {
  if (bytes.length < RECORD_HEADER_LENGTH) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = filesRecords.lengthAt(view, 0);
  if (length === undefined || length > bytes.length) return undefined;
  if (!filesRecords.isSound(bytes.subarray(0, length))) return undefined;
  const body = bytes.subarray(RECORD_HEADER_LENGTH, length);
  return { changes: parseFields(body).list('changes', CHANGES_MAX, decodeChange), length };
}

function encodeChange(change: FilesChange): object {
  if (change.op !== 'put') return change;
  const { accessedMs, modifiedMs, changedMs, ...node } = change.node;
  return {
    op: 'put',
    ...node,
    accessed: accessedMs,
    modified: modifiedMs,
    changed: changedMs,
  };
}

function decodeChange(fields: Fields): FilesChange {
  const op = fields.oneOf('op', ['put', 'drop', 'enter', 'leave', 'next']);
  if (op === 'put') return { op, node: decodeNode(fields) };
  if (op === 'drop' || op === 'next') return { op, id: fields.integer('id', 1, ID_MAX) };
  const directory = fields.integer('directory', 1, ID_MAX);
  const name = fields.text('name');
  if (op === 'leave') return { op, directory, name };
  const id = fields.integer('id', 1, ID_MAX);
  return { op, directory, name, id, cookie: fields.integer('cookie', 1, ID_MAX) };
}

function decodeNode(fields: Fields): FileNode {
  const u32 = (name: string): number => fields.integer(name, 0, 2 ** 32 - 1);
  const size = (name: string): number => fields.integer(name, 0, Number.MAX_SAFE_INTEGER);
  const text = (name: string) => (fields.has(name) ? fields.text(name) : undefined);
  return {
    id: fields.integer('id', 1, ID_MAX),
    kind: fields.oneOf('kind', ['directory', 'file', 'symlink']),
    mode: u32('mode'),
    uid: u32('uid'),
    gid: u32('gid'),
    links: u32('links'),
    size: size('size'),
    accessedMs: size('accessed'),
    modifiedMs: size('modified'),
    changedMs: size('changed'),
    target: text('target'),
    disk: text('disk'),
    exclusive: text('exclusive'),
  };
}
