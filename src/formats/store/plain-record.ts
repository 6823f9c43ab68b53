import { utf8 } from '../../lib/bytes.ts';
import { type Of, object, oneOf, integer, type Schema, SchemaError } from '../../lib/schema.ts';
import { FormatError } from '../format-error.ts';

// A file of one JSON object that only says what is to be done, or what was seen: not authenticated. Grammar: job.md.

export interface PlainRecord<T> {
  encode(value: T): Uint8Array;
  /** Throws FormatError. */
  decode(bytes: Uint8Array): T;
}

const VERSION = 1;

export function plainRecord<const F extends Readonly<Record<string, Schema<unknown>>>>(
  format: string,
  fields: F,
): PlainRecord<{ readonly [K in keyof F]: Of<F[K]> }> {
  const schema = object(fields);
  const head = object({ format: oneOf(format), version: integer(VERSION, VERSION) });
  return {
    encode: (value) =>
      utf8(`${JSON.stringify({ format, version: VERSION, ...value }, undefined, 2)}\n`),
    decode(bytes) {
      try {
        const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
        const { format, version, ...rest } = (JSON.parse(text) ?? {}) as Record<string, unknown>;
        head.parse({ format, version }, []);
        return schema.parse(rest, []);
      } catch (cause) {
        const what = cause instanceof SchemaError ? cause.message : 'record is not JSON';
        throw new FormatError('CORRUPT', what, { cause });
      }
    },
  };
}
