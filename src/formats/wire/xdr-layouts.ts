import { FormatError } from '../format-error.ts';
import { decodeText, type XdrReader, type XdrWriter } from './xdr.ts';

/*
 * Descriptions of values in XDR (RFC 4506), put together like the structures of a protocol file: a description reads a
 * value, writes it, and says how many bytes it takes. A message that is declared with them can be sent and received.
 */
export interface Layout<T> {
  /** The bytes that `write` fills, a multiple of four. */
  size(value: T): number;
  /** Throws CORRUPT for a value beyond the layout's own limits. */
  write(writer: XdrWriter, value: T): void;
  /** Throws TRUNCATED or CORRUPT. */
  read(reader: XdrReader): T;
}

export type ValueOf<L> = L extends Layout<infer T> ? T : never;

/** An element of a list takes four bytes at least: a count that lies ends where the bytes do. */
const UNIT = 4;

export const U32: Layout<number> = {
  size: () => UNIT,
  write: (writer, value) => writer.u32(value),
  read: (reader) => reader.u32(),
};

export const I32: Layout<number> = {
  size: () => UNIT,
  write: (writer, value) => writer.u32(value >>> 0),
  read: (reader) => reader.u32() | 0,
};

/** Inexact beyond 2^53. */
export const U64: Layout<number> = {
  size: () => 2 * UNIT,
  write: (writer, value) => writer.u64(value),
  read: (reader) => reader.u64(),
};

/** Inexact beyond 2^53. */
export const I64: Layout<number> = {
  size: () => 2 * UNIT,
  write(writer, value) {
    const high = Math.floor(value / 2 ** 32);
    writer.u32(high >>> 0);
    writer.u32(value - high * 2 ** 32);
  },
  read(reader) {
    const high = reader.u32() | 0;
    return high * 2 ** 32 + reader.u32();
  },
};

export const DOUBLE: Layout<number> = {
  size: () => 2 * UNIT,
  write(writer, value) {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    writer.u32(view.getUint32(0));
    writer.u32(view.getUint32(4));
  },
  read(reader) {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, reader.u32());
    view.setUint32(4, reader.u32());
    return view.getFloat64(0);
  },
};

export const FLAG: Layout<boolean> = {
  size: () => UNIT,
  write: (writer, value) => writer.flag(value),
  read: (reader) => reader.flag(),
};

export const NOTHING: Layout<undefined> = {
  size: () => 0,
  write() {},
  read: () => undefined,
};

/** Text of at most so many bytes, exactly as it was sent. */
export function text(lengthMax: number): Layout<string> {
  return textLayout(lengthMax, decodeText);
}

/** Text for people, where bytes that are not UTF-8 must not hide the rest of a message. */
export function looseText(lengthMax: number): Layout<string> {
  return textLayout(lengthMax, (bytes) => Buffer.from(bytes).toString('utf8'));
}

function textLayout(lengthMax: number, decode: (bytes: Uint8Array) => string): Layout<string> {
  return {
    size: (value) => UNIT + padded(Buffer.byteLength(value)),
    write(writer, value) {
      const bytes = Buffer.from(value);
      if (bytes.length > lengthMax) {
        throw new FormatError('CORRUPT', `a text of ${bytes.length} bytes, not ${lengthMax}`);
      }
      writer.opaque(bytes);
    },
    read: (reader) => decode(reader.opaque(lengthMax)),
  };
}

const UUID_LENGTH = 16;
const UUID = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/;

/** 16 bytes, as text of the usual form in lower case. */
export const UUID_TEXT: Layout<string> = {
  size: () => UUID_LENGTH,
  write(writer, value) {
    if (!UUID.test(value)) throw new FormatError('CORRUPT', `"${value}" is not a UUID`);
    writer.fixed(Buffer.from(value.replaceAll('-', ''), 'hex'));
  },
  read(reader) {
    const hex = Buffer.from(reader.fixed(UUID_LENGTH)).toString('hex');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  },
};

/** One of these words, by its place; a number beyond them, which a later release may send, is `other`. */
export function word<const W extends string>(words: readonly W[]): Layout<W | 'other'> {
  return {
    size: () => UNIT,
    write(writer, value) {
      const place = words.indexOf(value as W);
      writer.u32(place === -1 ? words.length : place);
    },
    read: (reader) => words[reader.u32()] ?? 'other',
  };
}

export function optional<T>(layout: Layout<T>): Layout<T | undefined> {
  return {
    size: (value) => UNIT + (value === undefined ? 0 : layout.size(value)),
    write(writer, value) {
      writer.flag(value !== undefined);
      if (value !== undefined) layout.write(writer, value);
    },
    read: (reader) => (reader.flag() ? layout.read(reader) : undefined),
  };
}

export function list<T>(layout: Layout<T>, countMax: number): Layout<readonly T[]> {
  return {
    size: (values) => values.reduce((sum, it) => sum + layout.size(it), UNIT),
    write(writer, values) {
      checkCount(values.length, countMax);
      writer.u32(values.length);
      for (const value of values) layout.write(writer, value);
    },
    read(reader) {
      const count = reader.u32();
      checkCount(count, countMax);
      const values: T[] = [];
      while (values.length < count) values.push(layout.read(reader));
      return values;
    },
  };
}

function checkCount(count: number, countMax: number): void {
  if (count > countMax) throw new FormatError('CORRUPT', `a list of ${count}, not ${countMax}`);
}

/** Fields in the order in which they are given. */
export function struct<T extends object>(
  fields: {
    readonly [K in keyof T]: Layout<T[K]>;
  },
): Layout<{ readonly [K in keyof T]: T[K] }> {
  const entries = Object.entries(fields) as [keyof T & string, Layout<unknown>][];
  return {
    size: (value) => entries.reduce((sum, [key, it]) => sum + it.size(value[key]), 0),
    write(writer, value) {
      for (const [key, layout] of entries) layout.write(writer, value[key]);
    },
    read: (reader) => Object.fromEntries(entries.map(([key, it]) => [key, it.read(reader)])) as T,
  };
}

function padded(length: number): number {
  return (length + UNIT - 1) & ~(UNIT - 1);
}
