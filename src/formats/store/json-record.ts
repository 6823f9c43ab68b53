import { crc32 } from 'node:zlib';
import { concatBytes, utf8 } from '../../lib/bytes.ts';
import { FormatError } from '../format-error.ts';
import { keyedHash } from './digest.ts';

/*
 * Small records that people may read: one line of JSON, and a second line that authenticates the first.
 * Grammar: json-record.md.
 */
const MAC = /^([0-9a-f]{64})\n$/;

/** `key` is secret in an encrypted set, public otherwise: then the line is a mere checksum. */
export function encodeJsonRecord(value: object, key: Uint8Array): Uint8Array {
  const line = utf8(`${JSON.stringify(value)}\n`);
  return concatBytes(line, utf8(`${hex(keyedHash(key, line))}\n`));
}

/** The fields of a record. Without a key its second line is not checked. */
export function decodeJsonRecord(bytes: Uint8Array, key: Uint8Array | undefined): Fields {
  const end = bytes.indexOf(0x0a) + 1;
  if (end === 0) throw new FormatError('TRUNCATED', 'record has no end of line');
  const line = bytes.subarray(0, end);
  const mac = MAC.exec(Buffer.from(bytes.subarray(end)).toString('latin1'))?.[1];
  if (mac === undefined) throw new FormatError('TRUNCATED', 'record has no authentication line');
  if (key && mac !== hex(keyedHash(key, line))) {
    throw new FormatError('CORRUPT', 'record fails its authentication: it was damaged or altered');
  }
  return parseFields(line);
}

/** One JSON object over several lines, with a checksum that needs no key as its last field. */
export function encodeSummed(value: object): Uint8Array {
  const fields = JSON.parse(JSON.stringify(value)) as object;
  return utf8(`${JSON.stringify({ ...fields, sum: sumOf(fields) }, undefined, 2)}\n`);
}

/** Whether the object carries a checksum: the releases before this one wrote none. */
export function isSummed(bytes: Uint8Array): boolean {
  return parseFields(bytes).has('sum');
}

function sumOf(fields: object): string {
  return crc32(JSON.stringify(fields)).toString(16).padStart(8, '0');
}

/** The fields of a JSON object in `bytes`; its checksum, where it has one, is checked. */
export function parseFields(bytes: Uint8Array): Fields {
  let value: unknown;
  let isWhole = true;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'sum')) {
      const { sum, ...rest } = value as { readonly sum: unknown };
      isWhole = sum === sumOf(rest);
    }
  } catch (cause) {
    throw new FormatError('CORRUPT', 'record is not JSON', { cause });
  }
  if (!isWhole) throw new FormatError('CORRUPT', 'record fails its checksum: it was damaged');
  return fieldsOf(value, 'record');
}

/** Typed access to the fields of a JSON object; everything that cannot be is CORRUPT. */
export interface Fields {
  /** This format, of this version. */
  expect(format: string, version: number): void;
  text(name: string): string;
  oneOf<T extends string>(name: string, values: readonly T[]): T;
  integer(name: string, min: number, max: number): number;
  flag(name: string): boolean;
  /** Hexadecimal. */
  bytes(name: string, length: number): Uint8Array;
  object(name: string): Fields;
  list<T>(name: string, max: number, item: (fields: Fields) => T): T[];
  has(name: string): boolean;
}

/** Longest text of any field; a disk's source may be a long path. */
const TEXT_LENGTH_MAX = 4096;

function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FormatError('CORRUPT', `${where} is no object`);
  }
  const object = value as Readonly<Record<string, unknown>>;

  function wrong(name: string): FormatError {
    return new FormatError('CORRUPT', `${where}: field "${name}" is missing or cannot be`);
  }
  function text(name: string): string {
    const found = object[name];
    if (typeof found !== 'string' || found.length > TEXT_LENGTH_MAX) throw wrong(name);
    return found;
  }
  return {
    text,
    has: (name) => object[name] !== undefined && object[name] !== null,
    expect(format, version) {
      if (object['format'] !== format) throw new FormatError('BAD_MAGIC', `${where}: no ${format}`);
      if (object['version'] !== version) {
        const found = String(object['version']);
        throw new FormatError('UNSUPPORTED', `${format} of version ${found}, not ${version}`);
      }
    },
    oneOf(name, values) {
      const found = values.find((it) => it === object[name]);
      if (found === undefined) throw wrong(name);
      return found;
    },
    integer(name, min, max) {
      const found = object[name];
      if (typeof found !== 'number' || !Number.isSafeInteger(found)) throw wrong(name);
      if (found < min || found > max) throw wrong(name);
      return found;
    },
    flag(name) {
      const found = object[name];
      if (typeof found !== 'boolean') throw wrong(name);
      return found;
    },
    bytes(name, length) {
      const found = text(name);
      if (found.length !== 2 * length || !/^[0-9a-f]*$/.test(found)) throw wrong(name);
      return Uint8Array.from(Buffer.from(found, 'hex'));
    },
    object: (name) => fieldsOf(object[name], `${where}.${name}`),
    list(name, max, item) {
      const found = object[name];
      if (!Array.isArray(found) || found.length > max) throw wrong(name);
      return found.map((it, at) => item(fieldsOf(it, `${where}.${name}[${at}]`)));
    },
  };
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
