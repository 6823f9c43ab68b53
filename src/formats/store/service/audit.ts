import { concatBytes, utf8 } from '../../../lib/bytes.ts';
import {
  anyObject,
  integer,
  type JsonObject,
  object,
  oneOf,
  optional,
  parse,
  SchemaError,
  text,
} from '../../../lib/schema.ts';
import { FormatError } from '../../format-error.ts';
import { keyedHash } from '../base/digest.ts';
import { hex } from '../base/json-record.ts';

// The log of changes and who made them. Grammar: audit.md.

export interface AuditEntry {
  readonly number: number;
  readonly time: string;
  readonly what: string;
  /** The user of a process of this machine. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly pid?: number | undefined;
  /** The token of a client on another host. */
  readonly token?: string | undefined;
  readonly address?: string | undefined;
  readonly outcome: 'begun' | 'done' | 'failed' | 'torn';
  /** The number of the entry at which it began. */
  readonly of?: number | undefined;
  readonly request?: JsonObject | undefined;
  readonly reason?: string | undefined;
}

export type AuditHash = string;

/** The hash before the first line. */
export const AUDIT_START: AuditHash = '0'.repeat(64);
export const AUDIT_LINE_MAX = 16 * 1024;

const ID_MAX = 2 ** 32 - 1;
const id = integer(0, ID_MAX);
const ENTRY = object({
  number: integer(1, Number.MAX_SAFE_INTEGER),
  ...{ time: text({ max: 64 }), what: text({ max: 64 }) },
  ...{ uid: optional(id), gid: optional(id), pid: optional(id) },
  ...{ token: optional(text({ max: 64 })), address: optional(text({ max: 64 })) },
  outcome: oneOf('begun', 'done', 'failed', 'torn'),
  of: optional(integer(1, Number.MAX_SAFE_INTEGER)),
  request: optional(anyObject(AUDIT_LINE_MAX)),
  reason: optional(text({ max: AUDIT_LINE_MAX, min: 0 })),
});
const LINE = /^([0-9a-f]{64}) (\{.*\})$/s;

/** Returns the line with its end. */
export function encodeAudit(
  entry: AuditEntry,
  before: AuditHash,
): { readonly line: Uint8Array; readonly hash: AuditHash } {
  const json = JSON.stringify(entry);
  const hash = hashOf(json, before);
  return { line: utf8(`${hash} ${json}\n`), hash };
}

/** Decodes a line without its end. Throws FormatError where it is damaged, or does not follow `before`. */
export function decodeAudit(
  line: string,
  before: AuditHash | undefined,
): { readonly entry: AuditEntry; readonly hash: AuditHash } {
  const [, hash = '', json = ''] = LINE.exec(line) ?? [];
  if (before !== undefined && hash !== hashOf(json, before)) {
    throw new FormatError('CORRUPT', 'the line was altered, or lines before it are missing');
  }
  try {
    return { entry: parse(ENTRY, JSON.parse(json)), hash };
  } catch (cause) {
    const what = cause instanceof SchemaError ? cause.message : 'the line is not an entry';
    throw new FormatError('CORRUPT', what, { cause });
  }
}

function hashOf(json: string, before: AuditHash): AuditHash {
  return hex(keyedHash(new Uint8Array(0), concatBytes(Buffer.from(before, 'hex'), utf8(json))));
}
