import { deepEqual, equal, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { parseCommentedJson } from '../../src/formats/commented-json.ts';
import { FormatError } from '../../src/formats/format-error.ts';

test('comments, commas at the end, and the line of everything', async () => {
  const { value, lineOf } = parseCommentedJson(`// first
{
  /* a
     comment */ "a": 1, // "b": 2
  "list": [
    true,
    { "deep": "// no comment" },
  ],
}
`);
  deepEqual(value, { a: 1, list: [true, { deep: '// no comment' }] });
  equal(lineOf([]), 2);
  equal(lineOf(['a']), 4);
  equal(lineOf(['list', 0]), 6);
  equal(lineOf(['list', 1, 'deep']), 7);
  equal(lineOf(['list', 1, 'deep', 'deeper']), 7, 'of what is around it');
  equal(lineOf(['nothing']), 2);
});

test('whatever JSON.parse reads is read alike', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(3), (value, indent) => {
      const source = JSON.stringify(value, undefined, indent);
      // JSON.parse gives negative zero as JSON.stringify wrote it: as zero.
      deepEqual(parseCommentedJson(source).value, JSON.parse(source));
    }),
  );
});

test('what is wrong is told with its line', async () => {
  const wrong: [string, RegExp][] = [
    ['{\n "a" 1 }', /line 2: ":" is missing after "a"/],
    ['{\n "a": 1\n "b": 2 }', /line 3: "," or "}" is missing/],
    ['{\n\n "a": tru }', /line 3: tru is not a JSON value/],
    ['{ "a": 1,\n "a": 2 }', /line 2: "a" occurs twice/],
    ['{ "a": [1, 2', /line 1: "]" is missing/],
    ['{}\n}', /line 2: more text follows the end/],
    ['', /line 1: a value is missing/],
    ["{ 'a': 1 }", /line 1: the name of a field/],
    ['[01]', /01 is not a JSON value/],
    ['['.repeat(100), /deeper than 32 levels/],
  ];
  for (const [source, message] of wrong) {
    throws(
      () => parseCommentedJson(source),
      (error: Error) => error instanceof FormatError && message.test(error.message),
      source,
    );
  }
});

test('arbitrary text gives a value or a FormatError', async () => {
  const signs = fc.constantFrom(...'{}[]",:/*\\ \n1a-tn'.split(''));
  fc.assert(
    fc.property(fc.array(signs), (parts) => {
      try {
        parseCommentedJson(parts.join(''));
      } catch (error) {
        return error instanceof FormatError;
      }
      return true;
    }),
  );
});
