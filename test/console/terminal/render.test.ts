import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { abilitiesOf, type Frame, render } from '../../../src/console/terminal/render.ts';
import {
  fitted,
  line,
  type Line,
  sparkline,
  wrapped,
} from '../../../src/console/terminal/screen.ts';
import { noise } from '../../support/random.ts';

const size = { columns: 20, rows: 4 };
const colored = abilitiesOf('linux');
const lines = (...texts: string[]): Line[] => texts.map((text) => line(text));

const ESCAPE = '\u001b';
/** What a terminal would show of it. */
function shown(outputs: readonly string[]): string[] {
  const rows = Array.from({ length: size.rows }, () => ' '.repeat(size.columns));
  let [row, column] = [0, 0];
  for (const part of outputs.join('').split(ESCAPE).slice(1)) {
    const found = /^\[([\d;]*)([A-Za-z])(.*)$/s.exec(part)!;
    const [, numbers = '', command, text = ''] = found;
    if (command === 'H')
      [row, column] =
        numbers === ''
          ? [0, 0]
          : (numbers.split(';').map((it) => Number(it) - 1) as [number, number]);
    if (command === 'J') rows.fill(' '.repeat(size.columns));
    if (command === 'K') rows[row] = rows[row]!.slice(0, column).padEnd(size.columns);
    rows[row] = rows[row]!.slice(0, column) + text + rows[row]!.slice(column + text.length);
    column += text.length;
  }
  return rows.map((it) => it.trimEnd());
}

test('what did not change is not sent', async () => {
  const first = render(undefined, lines('one', 'two', 'three 10 %'), size, colored);
  equal(render(first.frame, lines('one', 'two', 'three 10 %'), size, colored).output, '');
  const second = render(first.frame, lines('one', 'two', 'three 12 %'), size, colored);
  equal(second.output, `${ESCAPE}[3;8H2`);
  const third = render(second.frame, lines('one', 'two'), size, colored);
  equal(third.output, `${ESCAPE}[3;1H${ESCAPE}[K`);
});

test('however it changes, the terminal shows the last frame', async () => {
  let frame: Frame | undefined;
  const outputs: string[] = [];
  for (let seed = 0; seed < 300; seed++) {
    const random = noise(64, seed);
    const texts = Array.from({ length: size.rows }, (_, row) =>
      Array.from(random.subarray(row * 16, row * 16 + (random[row]! % 16)), (byte) =>
        ' ab'.charAt(byte % 3),
      ).join(''),
    );
    const drawn = render(frame, lines(...texts), size, colored);
    outputs.push(drawn.output);
    frame = drawn.frame;
    deepEqual(
      shown(outputs),
      texts.map((it) => it.trimEnd()),
    );
  }
});

test('another size is drawn from the beginning', async () => {
  const { frame } = render(undefined, lines('one'), size, colored);
  const wide = render(frame, lines('one'), { columns: 30, rows: 4 }, colored);
  match(wide.output, /one/);
});

test('nothing that commands a terminal comes through, and no column of a glyph too wide', async () => {
  const bad = `a${ESCAPE}[2Jb\u0007\u009b31m\u202e漢\u{1f600}\n\r`;
  const { output } = render(undefined, lines(bad), { columns: 40, rows: 1 }, colored);
  equal(output.split(ESCAPE).length, 5, 'only our own sequences');
  match(output, /a\?\[2Jb\?\?31m\?\?\?\?\?$/);
  ok(!/[^ -~]/.test(output.replaceAll(ESCAPE, '')));
});

test('the last column, where terminals differ, stays empty', async () => {
  const { output } = render(undefined, lines('x'.repeat(50)), size, colored);
  ok(output.includes('x'.repeat(19)) && !output.includes('x'.repeat(20)));
});

test('colors only where there are some', async () => {
  const bad = [line('bad', 'bad')];
  match(render(undefined, bad, size, abilitiesOf('xterm-256color')).output, /\[0;1;31mbad/);
  match(render(undefined, bad, size, abilitiesOf('vt220')).output, /\[0;1mbad/);
  deepEqual(abilitiesOf('linux'), { colors: true, alternate: false, blocks: false });
  equal(abilitiesOf('').colors, false);
});

test('a graph is of block elements only where a terminal surely has them', async () => {
  const graph = [[...line('['), sparkline([0, 1, 4, 7], 5), ...line(']')]];
  const wide = { columns: 20, rows: 1 };
  const on = (term: string, locale: string): string =>
    render(undefined, graph, wide, abilitiesOf(term, locale))
      .output.replaceAll(ESCAPE, '')
      .replaceAll(/\[[\d;]*m/g, '');
  match(on('xterm-256color', 'de_DE.UTF-8'), /\[ {2}\u2581\u2584\u2588\]$/);
  for (const [term, locale] of [
    ['linux', 'C.UTF-8'],
    ['vt220', 'C.UTF-8'],
    ['xterm', 'C'],
    ['xterm', ''],
  ] as const) {
    match(on(term, locale), /\[ {2}\.=#\]$/);
  }
  equal(sparkline([1, 2, 3], 2).text, '+#');
});

test('texts are cut to their width, broken between words', async () => {
  equal(fitted('abc', 5), 'abc  ');
  equal(fitted('abcdef', 5), 'abcd~');
  equal(fitted('abcdef', 0), '');
  deepEqual(wrapped('one two three', 8), ['one two', 'three']);
  deepEqual(wrapped('x'.repeat(10), 4), ['xxxx', 'xxxx', 'xx']);
});
