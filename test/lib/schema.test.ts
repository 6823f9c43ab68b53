import { deepEqual, equal, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import {
  flag,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  record,
  SchemaError,
  text,
  variants,
  withDefault,
} from '../../src/lib/schema.ts';

const schema = object({
  name: text({ max: 8, pattern: /^[a-z]+$/, words: 'small letters' }),
  size: optional(integer(0, 10)),
  mode: withDefault(oneOf('fast', 'slow'), 'slow'),
  tags: withDefault(list(text({ max: 3 }), 2), []),
  place: optional(
    variants('kind', { file: { path: text({ max: 9 }) }, none: { sure: nullable(flag()) } }),
  ),
  more: optional(record(integer(0, 1), 2)),
});

test('what fits comes through, with its defaults', async () => {
  deepEqual(schema.parse({ name: 'abc' }, []), {
    ...{ name: 'abc', size: undefined, mode: 'slow', tags: [] },
    ...{ place: undefined, more: undefined },
  });
  const whole = {
    ...{ name: 'abc', size: 3, mode: 'fast', tags: ['x'], more: { a: 1 } },
    place: { kind: 'none', sure: null },
  };
  deepEqual(schema.parse(whole, []), whole);
});

test('what does not fit is named by its place, and never repeated', async () => {
  const wrong: [object, string][] = [
    [{}, 'name: is missing'],
    [{ name: 'ABC' }, 'name: not small letters'],
    [{ name: 'secretsecret' }, 'name: a text of 1 to 8 characters, not 12'],
    [{ name: 'a', size: 1.5 }, 'size: a whole number, not a number'],
    [{ name: 'a', size: 11 }, 'size: a number from 0 to 10, not 11'],
    [{ name: 'a', tags: ['a', 'b', 'c'] }, 'tags: a list of 0 to 2, not 3'],
    [{ name: 'a', tags: ['abc', 4] }, 'tags.1: a text, not a number'],
    [{ name: 'a', place: { kind: 'x' } }, 'place.kind: one of file, none'],
    [{ name: 'a', place: { kind: 'file' } }, 'place.path: is missing'],
    [{ name: 'a', more: { a: 0, b: 0, c: 0 } }, 'more: at most 2 fields, not 3'],
    [{ name: 'a', constructor: 1 }, 'constructor: there is no such field'],
    [{ name: 'a', mode: null }, 'mode: one of fast, slow'],
  ];
  for (const [value, message] of wrong) {
    throws(
      () => schema.parse(value, []),
      (error: Error) => error instanceof SchemaError && error.message.startsWith(message),
      message,
    );
  }
});

test('a field called __proto__ is a field like any other', async () => {
  const free = record(integer(0, 9), 5);
  const value = JSON.parse('{"__proto__": 3, "a": 1}') as unknown;
  const parsed = free.parse(value, []);
  equal(Object.keys(parsed).length, 2);
  equal(Object.getPrototypeOf(parsed), Object.prototype);
  throws(() => schema.parse(JSON.parse('{"name": "a", "__proto__": {}}'), []), SchemaError);
});

test('any JSON gives a value or a SchemaError', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        schema.parse(value, []);
      } catch (error) {
        return error instanceof SchemaError;
      }
      return true;
    }),
  );
});

test('the JSON Schema says the same', async () => {
  const { json } = object({ a: integer(1, 2), b: optional(flag()) });
  deepEqual(json, {
    type: 'object',
    properties: { a: { type: 'integer', minimum: 1, maximum: 2 }, b: { type: 'boolean' } },
    required: ['a'],
    additionalProperties: false,
  });
});
