import { crc32 } from 'node:zlib';
import { concatBytes, utf8 } from '../../../lib/bytes.ts';
import { FormatError } from '../../format-error.ts';
import { keyedHash } from './digest.ts';

/*
 * Small records that people may read: one line of JSON, and a second line that authenticates the first.
 * Grammar: json-record.md.
 */
const MAC = /^([0-9a-f]{64})\n$/;

/** `key` is secret in an encrypted set, public otherwise: then the second line does not protect from attackers. */
export function encodeJsonRecord(value: object, key: Uint8Array): Uint8Array {
  const line = utf8(`${JSON.stringify(summed(value))}\n`);
  return concatBytes(line, utf8(`${hex(keyedHash(key, line))}\n`));
}

/** Decodes a record's fields with `read`. Without a key its second line is not checked. */
export function decodeJsonRecord<T>(
  bytes: Uint8Array,
  key: Uint8Array | undefined,
  read: (fields: Fields) => T,
): T {
  const end = bytes.indexOf(0x0a) + 1;
  if (end === 0) throw new FormatError('TRUNCATED', 'record has no end of line');
  const line = bytes.subarray(0, end);
  const mac = MAC.exec(Buffer.from(bytes.subarray(end)).toString('latin1'))?.[1];
  if (mac === undefined) throw new FormatError('TRUNCATED', 'record has no authentication line');
  // Before the MAC: a damaged record was not altered by an attacker, and is not under another key.
  const value = parsed(line);
  if (key && mac !== hex(keyedHash(key, line))) {
    const why = hasSum(value)
      ? 'it was altered, or made with another key'
      : 'it was damaged or altered';
    throw new FormatError('CORRUPT', `record fails its authentication: ${why}`);
  }
  return fieldsRead(value, read);
}

/** One JSON object over several lines, with a checksum that needs no key as its last field. */
export function encodeSummed(value: object): Uint8Array {
  return utf8(`${JSON.stringify(summed(value), undefined, 2)}\n`);
}

/** Decodes with `read` an object that `encodeSummed`, or an earlier release, wrote. */
export function decodeSummed<T>(bytes: Uint8Array, read: (fields: Fields) => T): T {
  return fieldsRead(parsed(bytes), read);
}

/** The checksum is the last field, before a second line that may follow. */
const SUM_AT_END = /"sum": ?"[0-9a-f]{8}"\n?\}\n(?:[0-9a-f]{64}\n)?$/;
const END_LENGTH = 128;

/** Whether a record carries a checksum, judged by its end: decoding verifies it. */
export function endsWithSum(bytes: Uint8Array): boolean {
  return SUM_AT_END.test(Buffer.from(bytes.subarray(-END_LENGTH)).toString('latin1'));
}

/** Throws CORRUPT where a record has no checksum, in a store whose records all have one. */
export function requireSum(bytes: Uint8Array): void {
  if (endsWithSum(bytes)) return;
  const what = 'record has no checksum: it was damaged, or comes from an earlier release';
  throw new FormatError('CORRUPT', what);
}

/** Whether the object carries a checksum: the release of 22 November wrote none. */
export function isSummed(bytes: Uint8Array): boolean {
  return hasSum(parsed(bytes));
}

/** The JSON value, with its checksum verified and removed. */
export function parseSummed(bytes: Uint8Array): unknown {
  const value = parsed(bytes);
  if (!hasSum(value)) return value;
  const { sum: _, ...rest } = value;
  return rest;
}

/** The fields of a JSON object that is protected by other means. */
export function parseFields(bytes: Uint8Array): Fields {
  return fieldsOf(parsed(bytes), 'record', undefined);
}

function summed(value: object): object {
  const fields = JSON.parse(JSON.stringify(value)) as object;
  return { ...fields, sum: sumOf(fields) };
}

function sumOf(fields: object): string {
  return crc32(JSON.stringify(fields)).toString(16).padStart(8, '0');
}

function hasSum(value: unknown): value is { readonly sum: unknown } {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'sum');
}

/** Parses JSON and verifies its checksum, if it has one. */
function parsed(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FormatError('CORRUPT', 'record is not JSON: it was damaged', { cause });
  }
  if (!hasSum(value)) return value;
  const { sum, ...rest } = value;
  if (sum === sumOf(rest)) return value;
  throw new FormatError('CORRUPT', 'record fails its checksum: it was damaged');
}

/**
 * A record without a checksum comes from the release of 22 November or earlier, whose fields are all known: an
 * unknown field is a known one whose name was damaged, and would otherwise be taken as absent.
 */
function fieldsRead<T>(value: unknown, read: (fields: Fields) => T): T {
  if (hasSum(value)) return read(fieldsOf(value, 'record', undefined));
  const objects: ReadObject[] = [];
  const result = read(fieldsOf(value, 'record', objects));
  for (const { object, where, names } of objects) {
    const unknown = Object.keys(object).find((name) => !names.has(name));
    if (unknown === undefined) continue;
    throw new FormatError('CORRUPT', `${where}: unknown field "${unknown}": it was damaged`);
  }
  return result;
}

interface ReadObject {
  readonly object: object;
  readonly where: string;
  /** The fields that were read. */
  readonly names: Set<string>;
}

/** Typed access to the fields of a JSON object; an impossible value is CORRUPT. */
export interface Fields {
  /** Checks that the record has this format and this version. */
  expect(format: string, version: number): void;
  text(name: string): string;
  /** Undefined: it is absent. */
  optionalText(name: string): string | undefined;
  oneOf<T extends string>(name: string, values: readonly T[]): T;
  integer(name: string, min: number, max: number): number;
  flag(name: string): boolean;
  /** Bytes, written in hexadecimal. */
  bytes(name: string, length: number): Uint8Array;
  object(name: string): Fields;
  list<T>(name: string, max: number, item: (fields: Fields) => T): T[];
  texts(name: string, max: number): string[];
  has(name: string): boolean;
  /** Checks that the field is there; it may be null. */
  require(name: string): void;
}

/** Longest text of any field; a disk's source may be a long path. */
const TEXT_LENGTH_MAX = 4096;

/**
 * As much of a text as a record may have, and at most as many bytes of it: what others say of themselves must not make
 * a record unreadable.
 */
export function cutText(text: string): string {
  const bytesOf = (part: string): number => Buffer.byteLength(JSON.stringify(part)) - 2;
  if (text.length <= TEXT_LENGTH_MAX && bytesOf(text) <= TEXT_LENGTH_MAX) return text;
  let end = 0;
  let bytes = 0;
  for (const sign of text) {
    bytes += bytesOf(sign);
    if (bytes > TEXT_LENGTH_MAX) break;
    end += sign.length;
  }
  return text.slice(0, end);
}

function fieldsOf(value: unknown, where: string, objects: ReadObject[] | undefined): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FormatError('CORRUPT', `${where} is not an object`);
  }
  const object = value as Readonly<Record<string, unknown>>;
  const names = objects && new Set<string>();
  if (names) objects.push({ object, where, names });

  function get(name: string): unknown {
    names?.add(name);
    return Object.hasOwn(object, name) ? object[name] : undefined;
  }
  function wrong(name: string): FormatError {
    return new FormatError(
      'CORRUPT',
      `${where}: field "${name}" is missing or has an impossible value`,
    );
  }
  function text(name: string): string {
    const found = get(name);
    if (typeof found !== 'string' || found.length > TEXT_LENGTH_MAX) throw wrong(name);
    return found;
  }
  const has = (name: string): boolean => get(name) !== undefined && get(name) !== null;
  return {
    text,
    optionalText: (name) => (has(name) ? text(name) : undefined),
    has,
    require(name) {
      if (get(name) === undefined) throw wrong(name);
    },
    expect(format, version) {
      if (get('format') !== format) throw new FormatError('BAD_MAGIC', `${where}: no ${format}`);
      const found = get('version');
      if (found !== version) {
        const text = String(found);
        throw new FormatError('UNSUPPORTED', `${format} of version ${text}, not ${version}`);
      }
    },
    oneOf(name, values) {
      const value = get(name);
      const found = values.find((it) => it === value);
      if (found === undefined) throw wrong(name);
      return found;
    },
    integer(name, min, max) {
      const found = get(name);
      if (typeof found !== 'number' || !Number.isSafeInteger(found)) throw wrong(name);
      if (found < min || found > max) throw wrong(name);
      return found;
    },
    flag(name) {
      const found = get(name);
      if (typeof found !== 'boolean') throw wrong(name);
      return found;
    },
    bytes(name, length) {
      const found = text(name);
      if (found.length !== 2 * length || !/^[0-9a-f]*$/.test(found)) throw wrong(name);
      return Uint8Array.from(Buffer.from(found, 'hex'));
    },
    texts(name, max) {
      const found = get(name);
      if (!Array.isArray(found) || found.length > max) throw wrong(name);
      if (!found.every((it) => typeof it === 'string' && it.length <= TEXT_LENGTH_MAX)) {
        throw wrong(name);
      }
      return found as string[];
    },
    object: (name) => fieldsOf(get(name), `${where}.${name}`, objects),
    list(name, max, item) {
      const found = get(name);
      if (!Array.isArray(found) || found.length > max) throw wrong(name);
      return found.map((it, at) => item(fieldsOf(it, `${where}.${name}[${at}]`, objects)));
    },
  };
}

/** As `Date.toISOString` writes it, of years that every program reads. */
const TIME = /^2\d{3}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;
const SHOWN_MAX = 40;

/** A time that decides something: any other spelling than the one in which it is written is CORRUPT. */
export function timeIn(fields: Fields, name: string): string {
  const found = fields.text(name);
  const ms = Date.parse(found);
  if (TIME.test(found) && !Number.isNaN(ms) && new Date(ms).toISOString() === found) return found;
  const shown = JSON.stringify(found.slice(0, SHOWN_MAX));
  throw new FormatError('CORRUPT', `record's "${name}" is not a time: ${shown}`);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
