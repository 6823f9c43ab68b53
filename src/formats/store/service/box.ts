import { crc32 } from 'node:zlib';
import { concatBytes, utf8 } from '../../../lib/bytes.ts';
import {
  type Fields,
  flag,
  integer,
  list,
  object,
  type ObjectOf,
  type Of,
  oneOf,
  parse,
  record,
  type Schema,
  SchemaError,
  text,
} from '../../../lib/schema.ts';
import { FormatError } from '../../format-error.ts';
import { keyedHash } from '../base/digest.ts';
import { hex } from '../base/json-record.ts';

// What a box remembers about stores, and the mark that it leaves in each. Grammar: box.md.

export const BOX_KEY_LENGTH = 32;
export const BOX_ID_LENGTH = 16;
/** Queued jobs, schedules and sessions have limits of their own. */
const ORDERS_MAX = 10_000;
const SETS_MAX = 10_000;
const STORES_MAX = 1000;
const PATH_MAX = 4096;
const FEATURES_MAX = 1000;
const FEATURE_MAX = 256;

const COUNT = integer(0, Number.MAX_SAFE_INTEGER);
const ID = text({ max: 32, pattern: /^[0-9a-f]{32}$/, words: '32 hexadecimal digits' });
const DIGEST = text({ max: 64, pattern: /^[0-9a-f]{64}$/, words: '64 hexadecimal digits' });

const SET = object({
  /** Hexadecimal; all zeros: it is not encrypted. */
  domain: ID,
  encrypted: flag(),
});
export type RememberedSet = Of<typeof SET>;

const STORE = object({
  path: text({ max: PATH_MAX }),
  /** The mark in the store has one of the two: the second is written here before the mark is. */
  ...{ epoch: COUNT, nextEpoch: COUNT },
  /** Whether a mark was left in the store. */
  marked: flag(),
  sets: record(SET, SETS_MAX),
  /** Names of the features that the store had when this box last used one of its sets, sorted. */
  features: list(text({ max: FEATURE_MAX }), FEATURES_MAX),
  /** Digests of orders by kind and name (`job/ID`). Two while an order changes. */
  orders: record(list(DIGEST, 2, 1), ORDERS_MAX),
});
export type RememberedStore = Of<typeof STORE>;

/** Throws FormatError also where it encodes more than it would decode: the box could not read its memory. */
export const memoryFile = sealedRecord('holdfast-box-memory', {
  box: ID,
  stores: record(STORE, STORES_MAX),
});
export type BoxMemory = ReturnType<typeof memoryFile.decode>;

export const markFile = sealedRecord('holdfast-box', {
  ...{ box: ID, store: text({ max: 256 }), epoch: COUNT },
});
export type BoxMark = ReturnType<typeof markFile.decode>;

export const publishedFile = sealedRecord('holdfast-published', {
  ...{ store: text({ max: 4096 }), path: text({ max: PATH_MAX }) },
  ...{ set: text({ max: 256 }), machine: text({ max: 256 }) },
  /** The recovery point, as the chain of points names it: head.md. */
  ...{ point: text({ max: 4096 }), sequence: COUNT, digest: DIGEST },
});
export type PublishedRecord = ReturnType<typeof publishedFile.decode>;

export const markedFile = sealedRecord('holdfast-marked', {
  ...{ store: text({ max: 4096 }), path: text({ max: PATH_MAX }) },
  ...{ set: text({ max: 256 }), point: text({ max: 4096 }) },
  /** The number of the record of what keeps the point: catalog/marks.md. */
  counter: COUNT,
});
export type MarkedRecord = ReturnType<typeof markedFile.decode>;

/** The digest of an order, independent of the order of its fields. */
export function orderDigest(order: object, key: Uint8Array): string {
  return hex(keyedHash(key, utf8(JSON.stringify(sorted(order)))));
}

/** An undefined field counts as absent, as in JSON. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const entries = Object.entries(value).filter(([, it]) => it !== undefined);
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, it]) => [name, sorted(it)]),
  );
}

/** A file under the key of the box. `decode` throws FormatError. */
function sealedRecord<const F extends Fields>(format: string, fields: F) {
  const schema = object(fields);
  const head = object({ format: oneOf(format), version: integer(1, 1) });
  const read = (value: unknown): ObjectOf<F> => {
    const { format, version, ...rest } = (value ?? {}) as Readonly<Record<string, unknown>>;
    checked({ format, version }, head);
    return checked(rest, schema);
  };
  return {
    encode(value: ObjectOf<F>, key: Uint8Array): Uint8Array {
      const whole = { format, version: 1, ...value };
      read(whole);
      return sealed(whole, key);
    },
    decode: (bytes: Uint8Array, key: Uint8Array): ObjectOf<F> => read(opened(bytes, key)),
  };
}

function sealed(value: object, key: Uint8Array): Uint8Array {
  const line = utf8(`${JSON.stringify(value)}\n`);
  const body = concatBytes(line, utf8(`mac ${hex(keyedHash(key, line))}\n`));
  return concatBytes(body, utf8(sumOf(body)));
}

function sumOf(body: Uint8Array): string {
  return `sum ${crc32(body).toString(16).padStart(8, '0')}\n`;
}

const SUM_LENGTH = 'sum 00000000\n'.length;
const MAC_LENGTH = 'mac \n'.length + 64;

function opened(bytes: Uint8Array, key: Uint8Array): unknown {
  const body = bytes.subarray(0, Math.max(0, bytes.length - SUM_LENGTH));
  const asText = (part: Uint8Array): string => Buffer.from(part).toString('latin1');
  if (asText(bytes.subarray(body.length)) !== sumOf(body)) {
    throw new FormatError('CORRUPT', 'it fails its checksum: it was damaged');
  }
  const line = body.subarray(0, Math.max(0, body.length - MAC_LENGTH));
  if (asText(body.subarray(line.length)) !== `mac ${hex(keyedHash(key, line))}\n`) {
    throw new FormatError('CORRUPT', 'it was not made with the key of this box');
  }
  return jsonOf(line);
}

function jsonOf(line: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
  } catch (cause) {
    throw new FormatError('CORRUPT', 'it is not JSON', { cause });
  }
}

function checked<T>(value: unknown, schema: Schema<T>): T {
  try {
    return parse(schema, value);
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new FormatError('CORRUPT', cause.message, { cause });
  }
}
