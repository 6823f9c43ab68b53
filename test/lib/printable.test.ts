import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { printable, printableLines } from '../../src/lib/printable.ts';

test('a name of a guest commands no terminal, hides nothing and makes no line of its own', async () => {
  for (const [given, shown] of [
    ['vm\u001b[2J', 'vm?[2J'],
    ['vm\u009b31m', 'vm?31m'],
    ['a\r\nb\u0007', 'a??b?'],
    ['a\u202egpj.exe', 'a?gpj.exe'],
    ['a\u2066b\u2069', 'a?b?'],
    ['Zürich – 東京', 'Zürich – 東京'],
  ] as const) {
    equal(printable(given), shown);
  }
  equal(printableLines('one\u001b\ntwo\r'), 'one?\ntwo?');
});
