import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { parseKeys } from '../../../src/console/terminal/keys.ts';
import { noise } from '../../support/random.ts';

const names = (input: string, isAll = true): string[] =>
  parseKeys(input, isAll).keys.map((key) => (key.kind === 'text' ? key.text : key.name));

test('the keys of xterm, of the Linux console and of a VT220 are understood', async () => {
  deepEqual(names('\u001b[A\u001bOB\u001b[C\u001bOD'), ['up', 'down', 'right', 'left']);
  deepEqual(names('\u001b[5~\u001b[6~'), ['page-up', 'page-down']);
  deepEqual(names('\u001b[1~\u001b[H\u001bOH\u001b[4~\u001b[F'), [
    ...['home', 'home', 'home', 'end', 'end'],
  ]);
  deepEqual(names('a \r\n\t\b\u007f\u0003'), [
    ...['a', ' ', 'enter', 'enter', 'tab', 'backspace', 'backspace', 'interrupt'],
  ]);
});

test('a sequence in pieces is one key, and an escape alone is one after a while', async () => {
  for (const part of ['\u001b', '\u001b[', '\u001b[1', '\u001bO']) {
    deepEqual(parseKeys(`x${part}`, false), {
      keys: [{ kind: 'text', text: 'x' }],
      rest: part,
    });
  }
  deepEqual(names('\u001b'), ['escape']);
  deepEqual(names('\u001b\u001b'), ['escape', 'escape']);
});

test('F1 to F5 of the Linux console type nothing, in pieces either', async () => {
  deepEqual(names('a\u001b[[A\u001b[[Bb\u001b[[C\u001b[[D\u001b[[Ec'), ['a', 'b', 'c']);
  equal(parseKeys('\u001b[[', false).rest, '\u001b[[');
});

test('unknown sequences and control characters are no keys; letters of all languages are', async () => {
  deepEqual(names('\u001b[15~\u001b[200~\u001b[?1;2c\u001bOPx'), ['x']);
  deepEqual(names('\u0000\u0001\u001f\u0080\u009b\ufffd'), []);
  deepEqual(names('é漢\u{1f600}'), ['é', '漢', '\u{1f600}']);
});

test('whatever comes, all of it is used up in the end', async () => {
  for (let seed = 0; seed < 200; seed++) {
    const text = Buffer.from(noise(64, seed)).toString('latin1');
    equal(parseKeys(text, true).rest, '');
    ok(parseKeys(text, false).rest.length <= 17);
  }
});
