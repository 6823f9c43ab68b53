import { utf8 } from '../../../lib/bytes.ts';
import {
  integer,
  object,
  type Of,
  oneOf,
  parse,
  type Schema,
  SchemaError,
} from '../../../lib/schema.ts';
import { FormatError } from '../../format-error.ts';
import { encodeSummed, parseSummed, requireSum } from './json-record.ts';

/*
 * A file of one JSON object that only says what is to be done, or what was seen: not authenticated. Grammar: job.md.
 * With a checksum only where the store says so: the release of 22 November refuses a field that it does not know.
 */
export interface PlainRecord<T> {
  encode(value: T, checks?: Checks): Uint8Array;
  /** Throws FormatError. */
  decode(bytes: Uint8Array, checks?: Checks): T;
}

/** Whether every record of the store has a checksum: `checked-records` in features.md. */
export type Checks = 'checked' | 'unchecked';

const VERSION = 1;

export function plainRecord<const F extends Readonly<Record<string, Schema<unknown>>>>(
  format: string,
  fields: F,
): PlainRecord<{ readonly [K in keyof F]: Of<F[K]> }> {
  const schema = object(fields);
  const head = object({ format: oneOf(format), version: integer(VERSION, VERSION) });
  return {
    encode(value, checks) {
      const record = { format, version: VERSION, ...value };
      if (checks === 'checked') return encodeSummed(record);
      return utf8(`${JSON.stringify(record, undefined, 2)}\n`);
    },
    decode(bytes, checks) {
      if (checks === 'checked') requireSum(bytes);
      try {
        const { format, version, ...rest } = (parseSummed(bytes) ?? {}) as Record<string, unknown>;
        parse(head, { format, version });
        return parse(schema, rest);
      } catch (cause) {
        if (!(cause instanceof SchemaError)) throw cause;
        throw new FormatError('CORRUPT', cause.message, { cause });
      }
    },
  };
}
