import { LEVELS, type Line } from '../terminal/screen.ts';

/*
 * A picture in characters: two pixels in each, one above the other, in the colors of terminals that have 256 and block
 * elements; in others, a sign for how bright both are together.
 */

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Three bytes for each pixel, in Base64. */
  readonly rgb: string;
}

type Color = readonly [red: number, green: number, blue: number];

/** The lines of the picture, at most as wide as `columns`, with its proportions. */
export function pictureLines({ width, height, rgb }: Picture, columns: number): readonly Line[] {
  const bytes = Buffer.from(rgb, 'base64');
  if (width === 0 || bytes.length !== 3 * width * height) return [];
  const across = Math.max(1, Math.min(columns, width));
  const down = Math.max(1, Math.round((height * across) / width));
  const at = (x: number, y: number): Color =>
    meanOf(bytes, width, spanOf(x, across, width), spanOf(Math.min(y, down - 1), down, height));
  return Array.from({ length: Math.ceil(down / 2) }, (_, row): Line => {
    const cells = Array.from({ length: across }, (_, x) => [at(x, 2 * row), at(x, 2 * row + 1)]);
    const text = cells.map(([top, bottom]) => levelOf(top!, bottom!)).join('');
    return [{ text, style: 'plain', halves: cells.map((pair) => pair.map(paletteOf) as never) }];
  });
}

interface Span {
  readonly from: number;
  readonly to: number;
}

function spanOf(at: number, of: number, length: number): Span {
  const from = Math.floor((at * length) / of);
  return { from, to: Math.max(from + 1, Math.floor(((at + 1) * length) / of)) };
}

function meanOf(bytes: Uint8Array, width: number, columns: Span, rows: Span): Color {
  const sums: [number, number, number] = [0, 0, 0];
  for (let y = rows.from; y < rows.to; y++) {
    for (let x = columns.from; x < columns.to; x++) {
      const at = 3 * (y * width + x);
      for (const color of [0, 1, 2] as const) sums[color] += bytes[at + color]!;
    }
  }
  const count = (rows.to - rows.from) * (columns.to - columns.from);
  return [sums[0] / count, sums[1] / count, sums[2] / count];
}

function levelOf(top: Color, bottom: Color): string {
  const light = [...top, ...bottom].reduce((sum, part) => sum + part, 0) / (6 * 255);
  return LEVELS[Math.round(light * (LEVELS.length - 1))]!;
}

/** The nearest of xterm's cube of 6 x 6 x 6 colors, whose steps are 0, 95, 135, 175, 215 and 255. */
function paletteOf([red, green, blue]: Color): number {
  const step = (part: number): number =>
    part < 48 ? 0 : part < 115 ? 1 : Math.min(5, Math.floor((part - 35) / 40));
  return 16 + 36 * step(red) + 6 * step(green) + step(blue);
}
