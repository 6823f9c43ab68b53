import type { Picture } from '../../formats/image/picture.ts';

/*
 * The characters on a screen, without guessing: systems without graphics draw them with the font of the video BIOS, in
 * cells of 8 x 16 pixels (a frame buffer) or 9 x 16 (text mode, where the ninth column is empty). Each cell is compared
 * with the font, pixel by pixel.
 */

/** From a glyph's sixteen lines to its character. */
export type Font = ReadonlyMap<string, string>;

const HEIGHT = 16;
const GLYPHS = 256;
const FIRST_PRINTABLE = 0x20;
const LAST_PRINTABLE = 0x7e;
/** "A" in the font that all of them have: it finds the table in the ROM. */
const CAPITAL_A = Uint8Array.from([
  0, 0, 16, 56, 108, 198, 198, 254, 198, 198, 198, 198, 0, 0, 0, 0,
]);

/** The font in the ROM of a video BIOS; undefined: it has none, or another. */
export function fontIn(rom: Uint8Array): Font | undefined {
  const found = Buffer.from(rom.buffer, rom.byteOffset, rom.length).indexOf(CAPITAL_A);
  const start = found - 0x41 * HEIGHT;
  if (found < 0 || start < 0 || start + GLYPHS * HEIGHT > rom.length) return undefined;
  const font = new Map<string, string>();
  for (let code = FIRST_PRINTABLE; code <= LAST_PRINTABLE; code++) {
    const lines = rom.subarray(start + code * HEIGHT, start + (code + 1) * HEIGHT);
    font.set(keyOf([...lines]), String.fromCharCode(code));
  }
  return font;
}

/** The share of the cells in use that must be characters: frames and logos may be there too. */
const SHARE_MIN = 0.75;
/** What is none. */
const UNKNOWN = '\u00b7';

/** Undefined: the screen shows a picture. An empty text: it shows nothing. */
export function textOn(picture: Picture, font: Font): string | undefined {
  const { width, height } = picture;
  const cellWidth = width === 720 && height === 400 ? 9 : 8;
  const columns = Math.floor(width / cellWidth);
  const rows = Math.floor(height / HEIGHT);
  let characters = 0;
  let others = 0;
  const lines: string[] = [];
  for (let row = 0; row < rows; row++) {
    let line = '';
    for (let column = 0; column < columns; column++) {
      const character = characterAt(picture, font, { x: column * cellWidth, y: row * HEIGHT });
      if (character === undefined) others++;
      else if (character !== ' ') characters++;
      line += character ?? UNKNOWN;
    }
    lines.push(line.trimEnd());
  }
  if (others > 0 && characters / (characters + others) < SHARE_MIN) return undefined;
  return lines.join('\n').trimEnd();
}

/** Whether all pixels have one color. */
export function isBlank({ rgb }: Picture): boolean {
  // Each pixel equals the one before it.
  return Buffer.compare(rgb.subarray(3), rgb.subarray(0, -3)) === 0;
}

/** A clock or a cursor changes less. */
const CHANGED_SHARE = 0.001;

/** Whether a picture differs from another by more than a clock or a cursor. */
export function hasChanged(before: Picture, after: Picture): boolean {
  if (before.rgb.length !== after.rgb.length || before.width !== after.width) return true;
  const limit = CHANGED_SHARE * after.rgb.length;
  let changed = 0;
  for (let at = 0; at < after.rgb.length && changed <= limit; at++) {
    if (after.rgb[at] !== before.rgb[at]) changed++;
  }
  return changed > limit;
}

interface Place {
  readonly x: number;
  readonly y: number;
}

/** Undefined: it is none of the font. */
function characterAt(picture: Picture, font: Font, place: Place): string | undefined {
  const lines = linesAt(picture, place);
  if (!lines) return undefined;
  if (lines.every((line) => line === 0)) return ' ';
  // A cursor is a bar, or reverses its cell.
  const plain = font.get(keyOf(lines)) ?? font.get(keyOf(lines.map((line) => line ^ 0xff)));
  if (plain !== undefined) return plain;
  const isBar = lines.every((line, at) => line === 0 || (line === 0xff && at >= BAR_FROM));
  return isBar ? ' ' : undefined;
}

const BAR_FROM = 12;

/** One bit for each pixel that differs from the first one; undefined: the cell has more than two colors. */
function linesAt({ rgb, width }: Picture, { x, y }: Place): number[] | undefined {
  const first = colorAt(rgb, 3 * (y * width + x));
  let other: number | undefined;
  const lines: number[] = [];
  for (let row = 0; row < HEIGHT; row++) {
    let line = 0;
    for (let column = 0; column < 8; column++) {
      const color = colorAt(rgb, 3 * ((y + row) * width + x + column));
      line <<= 1;
      if (color === first) continue;
      other ??= color;
      if (color !== other) return undefined;
      line |= 1;
    }
    lines.push(line);
  }
  return lines;
}

function colorAt(rgb: Uint8Array, at: number): number {
  return (rgb[at]! << 16) | (rgb[at + 1]! << 8) | rgb[at + 2]!;
}

function keyOf(lines: readonly number[]): string {
  return String.fromCharCode(...lines);
}
