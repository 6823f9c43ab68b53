import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.ts';
import { concatBytes, utf8 } from '../../../lib/bytes.ts';
import { MiB } from '../../../lib/sizes.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import { DIGEST_LENGTH, keyedHash } from '../base/digest.ts';
import { type Fields, parseFields } from '../base/json-record.ts';

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
  /** The target of a symbolic link. */
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
/** Limit for one record. An operation has six at most; many of them share a record. */
export const CHANGES_MAX = 256;

const MAGIC = 0x6c664648;
/** The version whose records have no MACs. */
const PLAIN = 1;
const SEALED = 2;
const RECORD_HEADER_LENGTH = 8;
/** CHANGES_MAX symbolic links of 1024 bytes, each byte written as an escape of six. */
const RECORD_LENGTH_MAX = 2 * MiB;
const ID_MAX = Number.MAX_SAFE_INTEGER;

/** How records follow each other. An empty record is not valid: a torn sector of zeros would look like one. */
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

/**
 * The MACs of the records of one log, in order: each covers its own record and all before it, so that no record can
 * be altered, left out, moved or taken from another log. Only the end of a log can be cut off.
 */
export interface FilesChain {
  /** The MAC of the next record, which has this body. */
  next(body: Uint8Array): Uint8Array;
}

/** The key of one session's log; `overlayKey`: the overlay key of its set (overlay-log.md). */
export function filesLogKey(overlayKey: Uint8Array, session: string): Uint8Array {
  return Uint8Array.from(keyedHash(overlayKey, utf8(`files log\0${session}`)));
}

export function filesChain(key: Uint8Array): FilesChain {
  let last: Uint8Array = new Uint8Array(DIGEST_LENGTH);
  return {
    next(body) {
      last = Uint8Array.from(keyedHash(key, concatBytes(last, body)));
      return last;
    },
  };
}

export function encodeFilesLogHeader({ sealed }: { readonly sealed: boolean }): Uint8Array {
  const bytes = new Uint8Array(FILES_LOG_HEADER_LENGTH);
  new DataView(bytes.buffer).setUint32(0, MAGIC, true);
  bytes[4] = sealed ? SEALED : PLAIN;
  return bytes;
}

/** Whether its records have MACs. */
export function decodeFilesLogHeader(bytes: Uint8Array): { readonly sealed: boolean } {
  if (bytes.length < FILES_LOG_HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `files log of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, FILES_LOG_HEADER_LENGTH);
  if (view.getUint32(0, true) !== MAGIC) throw new FormatError('BAD_MAGIC', 'not a files log');
  const version = bytes[4];
  if (version !== PLAIN && version !== SEALED) {
    throw new FormatError('UNSUPPORTED', `files log version ${version}`);
  }
  checkZero(bytes, { from: 5, to: FILES_LOG_HEADER_LENGTH }, 'files log header');
  return { sealed: version === SEALED };
}

/** Encodes at most CHANGES_MAX changes: only complete operations that happened. `chain`: for a log with MACs. */
export function encodeFilesRecord(
  changes: readonly FilesChange[],
  chain: FilesChain | undefined,
): Uint8Array {
  assert(changes.length <= CHANGES_MAX, `a record of ${changes.length} changes`);
  const body = utf8(JSON.stringify({ changes: changes.map(encodeChange) }));
  const rest = chain ? concatBytes(chain.next(body), body) : body;
  const head = new Uint8Array(RECORD_HEADER_LENGTH);
  assert(head.length + rest.length <= RECORD_LENGTH_MAX, `a record of ${rest.length} bytes`);
  const view = new DataView(head.buffer);
  view.setUint32(0, rest.length, true);
  view.setUint32(4, crc32(rest), true);
  return concatBytes(head, rest);
}

export interface FilesRecordOptions {
  readonly sealed: boolean;
  /** Undefined: MACs are not verified. */
  readonly chain: FilesChain | undefined;
}

/** The record that begins at `bytes`, and its length; undefined: the log ends here. Throws where its MAC is wrong. */
export function decodeFilesRecord(
  bytes: Uint8Array,
  { sealed, chain }: FilesRecordOptions,
): { readonly changes: readonly FilesChange[]; readonly length: number } | undefined {
  if (bytes.length < RECORD_HEADER_LENGTH) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = filesRecords.lengthAt(view, 0);
  if (length === undefined || length > bytes.length) return undefined;
  if (!filesRecords.isSound(bytes.subarray(0, length))) return undefined;
  const rest = bytes.subarray(RECORD_HEADER_LENGTH, length);
  const body = sealed ? rest.subarray(DIGEST_LENGTH) : rest;
  if (sealed && chain && Buffer.compare(chain.next(body), rest.subarray(0, DIGEST_LENGTH)) !== 0) {
    throw new FormatError(
      'CORRUPT',
      'a record has a wrong MAC: it was altered, left out, or belongs to another log',
    );
  }
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
    target: fields.optionalText('target'),
    disk: fields.optionalText('disk'),
    exclusive: fields.optionalText('exclusive'),
  };
}
