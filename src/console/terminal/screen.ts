/* The contents of the screen, independent of terminals: lines of pieces of text, each in one style. */

export type Style = 'plain' | 'strong' | 'bar' | 'good' | 'warning' | 'bad' | 'graph';

export interface Piece {
  readonly text: string;
  readonly style: Style;
  /**
   * For a picture, of each character: the colors of its upper and its lower half, as numbers of xterm's 256. The text
   * is for terminals without them.
   */
  readonly halves?: readonly Halves[];
}

export type Halves = readonly [top: number, bottom: number];

export type Line = readonly Piece[];

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export function line(text: string, style: Style = 'plain'): Line {
  return [{ text: printable(text), style }];
}

/** Cut to a width, with "~" at the end if something is missing. */
export function clipped(line: Line, width: number): Line {
  const length = line.reduce((sum, { text }) => sum + text.length, 0);
  if (length <= width) return line;
  let left = width - 1;
  const kept = line.map(({ text, style, halves }): Piece => {
    const part = text.slice(0, left);
    left -= part.length;
    return { text: part, style, ...(halves && { halves }) };
  });
  return [...kept, { text: '~', style: 'plain' }];
}

/**
 * The characters that terminals of every kind show in one column each; others, which may control a terminal, become
 * "?".
 */
export function printable(text: string): string {
  return text.replaceAll(/[^\u0020-\u007e]/gu, '?');
}

/** Cut, or padded with spaces. A text that was cut ends in "~". */
export function fitted(text: string, width: number): string {
  const shown = printable(text);
  if (shown.length <= width) return shown.padEnd(width);
  return width < 2 ? shown.slice(0, width) : `${shown.slice(0, width - 1)}~`;
}

/** A text as lines of at most `width` characters, broken between words if possible. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let rest = printable(paragraph.trimEnd());
    while (rest.length > width) {
      const space = rest.lastIndexOf(' ', width);
      const end = space > width / 2 ? space : width;
      lines.push(rest.slice(0, end));
      rest = rest.slice(end).trimStart();
    }
    lines.push(rest);
  }
  return lines;
}

/** Cells of fixed widths, two columns apart; the last cell may be without a width. */
export function columns(cells: readonly string[], widths: readonly number[]): string {
  return cells.map((cell, at) => fitted(cell, widths[at] ?? cell.length)).join('  ');
}

/** From nothing to most, for pieces of style `graph`: some terminals show finer ones. */
export const LEVELS = ' .:-=+*#';

/** The last of the values as characters of LEVELS, the newest at the right end. */
export function sparkline(values: readonly number[], width: number): Piece {
  const shown = values.slice(-width);
  const most = Math.max(...shown, 0);
  const text = shown
    .map((value) => LEVELS[value <= 0 ? 0 : Math.ceil(((LEVELS.length - 1) * value) / most)]!)
    .join('');
  return { text: text.padStart(width), style: 'graph' };
}
