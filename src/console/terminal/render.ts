import { type Halves, LEVELS, type Line, printable, type Size, type Style } from './screen.ts';

/*
 * Turns lines into bytes for a terminal. Only cells that changed since the last frame are sent: a whole frame takes
 * two seconds on a serial line of 9,600 baud. Sends only printable ASCII and sequences that a VT220 knows.
 */
export interface Abilities {
  readonly colors: boolean;
  /** A second screen, so that the earlier contents come back at the end. */
  readonly alternate: boolean;
  /** Block elements of Unicode, each in one column. */
  readonly blocks: boolean;
}

interface Cell {
  readonly char: string;
  readonly style: Style;
  readonly halves?: Halves | undefined;
}

/** The contents of the terminal. */
export interface Frame {
  readonly size: Size;
  readonly lines: readonly Line[];
}

/** A character for each of LEVELS. */
const BLOCKS = ' \u2581\u2582\u2583\u2584\u2585\u2586\u2588';
const UPPER_HALF = '\u2580';
const BLANK: Cell = { char: ' ', style: 'plain' };
const CSI = '\u001b[';

const COLORED = {
  plain: '0',
  strong: '0;1',
  bar: '0;7',
  good: '0;32',
  warning: '0;1;33',
  bad: '0;1;31',
  graph: '0;36',
} as const satisfies Record<Style, string>;

const MONOCHROME = {
  ...COLORED,
  good: '0',
  warning: '0;1',
  bad: '0;1',
  graph: '0',
} as const satisfies Record<Style, string>;

/** From TERM and the locale (`C.UTF-8`). */
export function abilitiesOf(term: string, locale = ''): Abilities {
  const alternate = /^(xterm|screen|tmux|rxvt|foot|alacritty)/.test(term);
  return {
    colors: !/^(vt\d|dumb$|unknown$|ansi-m)/.test(term) && term !== '',
    alternate,
    // The Linux console's font may lack them.
    blocks: alternate && /utf-?8/i.test(locale),
  };
}

export function opening({ alternate }: Abilities): string {
  return `${alternate ? `${CSI}?1049h` : ''}${CSI}?25l${CSI}0m${CSI}H${CSI}J`;
}

/** Leaves the terminal in the state that a shell expects. */
export function closing({ alternate }: Abilities): string {
  return `${CSI}0m${alternate ? '' : `${CSI}H${CSI}J`}${CSI}?25h${alternate ? `${CSI}?1049l` : ''}`;
}

/** `before` undefined: the contents of the screen are unknown. */
export function render(
  before: Frame | undefined,
  lines: readonly Line[],
  size: Size,
  { colors, blocks }: Abilities,
): { readonly frame: Frame; readonly output: string } {
  const codes = colors ? COLORED : MONOCHROME;
  const isSame = before?.size.columns === size.columns && before.size.rows === size.rows;
  let output = isSame ? '' : `${CSI}0m${CSI}H${CSI}J`;
  for (let row = 0; row < size.rows; row++) {
    const [old = [], line = []] = [isSame ? before.lines[row] : undefined, lines[row]];
    // Most rows stay the same: making cells for them would be wasted work, every second.
    if (isSameLine(old, line)) continue;
    const cells = cellsOf(line, size);
    output += changed(cellsOf(old, size), cells, { row, codes, blocks, colors });
  }
  return { frame: { size, lines }, output };
}

function isSameLine(a: Line, b: Line): boolean {
  return (
    a.length === b.length &&
    a.every(
      ({ text, style, halves }, at) =>
        text === b[at]!.text && style === b[at]!.style && halves === b[at]!.halves,
    )
  );
}

/** Without the blanks at the end: a missing cell is a blank. */
function cellsOf(line: Line, { columns }: Size): readonly Cell[] {
  const cells = line.flatMap(({ text, style, halves }) =>
    Array.from(printable(text), (char, at): Cell => ({ char, style, halves: halves?.[at] })),
  );
  // After the last column a terminal may or may not continue on the next row, so that column stays empty.
  const shown = cells.slice(0, columns - 1);
  const end = shown.findLastIndex((cell) => !isEqual(cell, BLANK));
  return shown.slice(0, end + 1);
}

function changed(
  before: readonly Cell[],
  after: readonly Cell[],
  {
    row,
    codes,
    blocks,
    colors,
  }: {
    readonly row: number;
    readonly codes: Readonly<Record<Style, string>>;
    readonly blocks: boolean;
    readonly colors: boolean;
  },
): string {
  const length = Math.max(before.length, after.length);
  const cell = (cells: readonly Cell[], at: number): Cell => cells[at] ?? BLANK;
  const differs = (at: number): boolean => !isEqual(cell(before, at), cell(after, at));
  let first = 0;
  while (first < length && !differs(first)) first++;
  if (first === length) return '';
  let end = length;
  while (!differs(end - 1)) end--;
  const written = Math.min(end, after.length);
  let style: Style | 'picture' = 'plain';
  let text = '';
  for (let at = first; at < written; at++) {
    const it = after[at]!;
    if (it.halves && blocks && colors) {
      const [top, bottom] = it.halves;
      text += `${CSI}38;5;${top};48;5;${bottom}m${UPPER_HALF}`;
      style = 'picture';
      continue;
    }
    if (it.style !== style) text += `${CSI}${codes[it.style]}m`;
    style = it.style;
    text += blocks && it.style === 'graph' ? BLOCKS[LEVELS.indexOf(it.char)] : it.char;
  }
  if (style !== 'plain') text += `${CSI}0m`;
  if (end > after.length) text += `${CSI}K`;
  return `${CSI}${row + 1};${first + 1}H${text}`;
}

function isEqual(a: Cell, b: Cell): boolean {
  const isSame = a.char === b.char && a.style === b.style;
  return isSame && a.halves?.join() === b.halves?.join();
}
