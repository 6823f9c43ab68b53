import { deepEqual, equal, notEqual, throws } from 'node:assert/strict';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { jsonSchemaOf } from '../../src/lib/json-schema.ts';
import { test } from 'tap';
import {
  anyObject,
  field,
  flag,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  parse,
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
  deepEqual(parse(schema, { name: 'abc' }), {
    ...{ name: 'abc', size: undefined, mode: 'slow', tags: [] },
    ...{ place: undefined, more: undefined },
  });
  const whole = {
    ...{ name: 'abc', size: 3, mode: 'fast', tags: ['x'], more: { a: 1 } },
    place: { kind: 'none', sure: null },
  };
  deepEqual(parse(schema, whole), whole);
});

test('what does not fit is named by its place, and never repeated', async () => {
  const wrong: [object, string][] = [
    [{}, 'name: is missing'],
    [{ name: 'ABC' }, 'name: not small letters'],
    [{ name: 'secretsecret' }, 'name: a text of 1 to 8 characters, not 12'],
    [{ name: 'a', size: 1.5 }, 'size: a whole number, not a number'],
    [{ name: 'a', size: 11 }, 'size: a number from 0 to 10'],
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
      () => parse(schema, value),
      (error: Error) => error instanceof SchemaError && error.message.startsWith(message),
      message,
    );
  }
});

test('no refusal quotes what it refuses, wherever it stands', async () => {
  const secret = 'HUNTER2';
  const places: readonly ((it: unknown) => unknown)[] = [
    (it) => it,
    ...['name', 'size', 'mode', 'tags', 'place', 'more'].map((name) => (it: unknown) => ({
      ...{ name: 'abc' },
      [name]: it,
    })),
    (kind) => ({ name: 'abc', place: { kind } }),
    (it) => ({ name: 'abc', place: { kind: 'none', sure: it } }),
    (it) => ({ name: 'abc', tags: [it] }),
    (it) => ({ name: 'abc', more: { a: it } }),
  ];
  for (const given of [secret, [secret], [[secret]], { a: secret }, { kind: secret }]) {
    for (const at of places) {
      throws(
        () => parse(schema, at(given)),
        (error) => error instanceof SchemaError && !inspect(error).includes(secret),
      );
    }
  }
});

test('a list is not an object, also where no field is required', async () => {
  const all = [object({}), object({ a: optional(flag()) }), record(flag(), 9), anyObject(99)];
  for (const it of [...all, variants('kind', { a: {} })]) {
    throws(() => parse<unknown>(it, []), { message: 'an object, not a list' });
  }
  throws(() => parse(object({ ports: object({}) }), { ports: [] }), {
    message: 'ports: an object, not a list',
  });
});

test('whole numbers end where they are no longer exact', async () => {
  const count = integer(0, Number.MAX_SAFE_INTEGER);
  equal(parse(count, 2 ** 53 - 1), 2 ** 53 - 1);
  throws(() => parse(count, 2 ** 53), SchemaError);
});

test('a default is given to each value by itself', async () => {
  const tags = object({ tags: withDefault(list(flag(), 9), []) });
  notEqual(parse(tags, {}).tags, parse(tags, {}).tags);
});

test('a field called __proto__ is a field like any other', async () => {
  const free = record(integer(0, 9), 5);
  const value = JSON.parse('{"__proto__": 3, "a": 1}') as unknown;
  const parsed = parse(free, value);
  equal(Object.keys(parsed).length, 2);
  equal(Object.getPrototypeOf(parsed), Object.prototype);
  throws(() => parse(schema, JSON.parse('{"name": "a", "__proto__": {}}')), SchemaError);
});

test('any JSON gives a value or a SchemaError', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        parse(schema, value);
      } catch (error) {
        return error instanceof SchemaError;
      }
      return true;
    }),
  );
});

test('the JSON Schema says the same', async () => {
  const schema = object({
    a: field(integer(1, 2), 'how many'),
    b: optional(flag()),
    c: optional(field(text({ max: 9, pattern: /^\P{Cc}*$/u }), 'a file', { hostFile: /^nbd:/ })),
  });
  deepEqual(jsonSchemaOf(schema, 'input'), {
    type: 'object',
    properties: {
      a: { type: 'integer', minimum: 1, maximum: 2, description: 'how many' },
      b: { type: 'boolean' },
      c: {
        ...{ type: 'string', minLength: 1, maxLength: 9, pattern: '^\\P{Cc}*$' },
        ...{ description: 'a file', 'x-holdfast-host-file': '^nbd:' },
      },
    },
    required: ['a'],
    additionalProperties: false,
  });
});
