import { crc32, deflateSync } from 'node:zlib';
import { concatBytes, utf8 } from '../../lib/bytes.ts';
import { FormatError } from '../format-error.ts';

/*
 * Pictures of screens: read as PPM, which every QEMU writes, and written as PNG, which every viewer shows. Of PPM only
 * what QEMU writes is read: binary, 8 bits a color. image.md
 */

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Three bytes for each pixel, from the top left on. */
  readonly rgb: Uint8Array;
}

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** The largest mode of the cards that Holdfast gives a machine is 2560 x 1600. */
const PIXELS_MAX = 2560 * 1600;
const BYTES = 3;
const HEADER = /^P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s/;
const HEADER_LENGTH_MAX = 64;
export const PPM_LENGTH_MAX = HEADER_LENGTH_MAX + BYTES * PIXELS_MAX;

/** Throws FormatError. */
export function decodePpm(bytes: Uint8Array): Picture {
  const head = Buffer.from(bytes.subarray(0, HEADER_LENGTH_MAX)).toString('latin1');
  const [header, width, height] = HEADER.exec(head) ?? [];
  if (header === undefined) throw new FormatError('BAD_MAGIC', 'not a PPM picture of 8 bits');
  const size = { width: Number(width), height: Number(height) };
  checkSize(size);
  const rgb = bytes.subarray(header.length);
  if (rgb.length !== lengthOf(size)) {
    const what = `picture of ${size.width} x ${size.height} with ${rgb.length} bytes`;
    throw new FormatError('TRUNCATED', what);
  }
  return { ...size, rgb };
}

/** Throws FormatError for a picture that has no pixels, or too many. */
function checkSize({ width, height }: PictureSize): void {
  if (width > 0 && height > 0 && width * height <= PIXELS_MAX) return;
  throw new FormatError('CORRUPT', `picture of ${width} x ${height}`);
}

function lengthOf({ width, height }: PictureSize): number {
  return BYTES * width * height;
}

/** The picture within this size, with its proportions: each pixel is the mean of those that it stands for. */
export function shrunk(picture: Picture, most: PictureSize): Picture {
  const ratio = Math.min(1, most.width / picture.width, most.height / picture.height);
  if (ratio === 1) return picture;
  const width = Math.max(1, Math.floor(picture.width * ratio));
  const height = Math.max(1, Math.floor(picture.height * ratio));
  const rgb = new Uint8Array(lengthOf({ width, height }));
  for (let y = 0; y < height; y++) {
    const rows = spanOf(y, height, picture.height);
    for (let x = 0; x < width; x++) {
      const columns = spanOf(x, width, picture.width);
      rgb.set(meanOf(picture, rows, columns), BYTES * (y * width + x));
    }
  }
  return { width, height, rgb };
}

interface Span {
  readonly from: number;
  readonly to: number;
}

function spanOf(at: number, of: number, length: number): Span {
  const from = Math.floor((at * length) / of);
  return { from, to: Math.max(from + 1, Math.floor(((at + 1) * length) / of)) };
}

function meanOf({ width, rgb }: Picture, rows: Span, columns: Span): number[] {
  const sums = [0, 0, 0];
  for (let y = rows.from; y < rows.to; y++) {
    for (let at = BYTES * (y * width + columns.from); at < BYTES * (y * width + columns.to); ) {
      for (let color = 0; color < BYTES; color++) sums[color]! += rgb[at++]!;
    }
  }
  const count = (rows.to - rows.from) * (columns.to - columns.from);
  return sums.map((sum) => Math.round(sum / count));
}

const SMALL_HEADER_LENGTH = 4;

/** A small picture as it is kept: u16 width, u16 height, little-endian, then the pixels. */
export function encodeSmall({ width, height, rgb }: Picture): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(SMALL_HEADER_LENGTH);
  const view = new DataView(header.buffer);
  view.setUint16(0, width, true);
  view.setUint16(2, height, true);
  return concatBytes(header, rgb);
}

/** Throws FormatError. */
export function decodeSmall(bytes: Uint8Array): Picture {
  if (bytes.length < SMALL_HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `picture of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, SMALL_HEADER_LENGTH);
  const size = { width: view.getUint16(0, true), height: view.getUint16(2, true) };
  checkSize(size);
  const rgb = bytes.subarray(SMALL_HEADER_LENGTH);
  if (rgb.length === lengthOf(size)) return { ...size, rgb };
  const what = `picture of ${size.width} x ${size.height} with ${rgb.length} bytes`;
  throw new FormatError('TRUNCATED', what);
}

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** 8 bits for each of red, green and blue. */
const TRUE_COLOR = [8, 2, 0, 0, 0];
/** The filter "up": most lines of a screen are like the one above. */
const UP = 2;

/** PNG (ISO 15948), with the three chunks that every picture needs. */
export function encodePng({ width, height, rgb }: Picture): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(8 + TRUE_COLOR.length);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set(TRUE_COLOR, 8);
  const row = BYTES * width;
  const lines = new Uint8Array(height * (1 + row));
  for (let y = 0; y < height; y++) {
    const at = y * (1 + row);
    lines[at] = UP;
    for (let x = 0; x < row; x++) {
      const above = y === 0 ? 0 : rgb[(y - 1) * row + x]!;
      lines[at + 1 + x] = rgb[y * row + x]! - above;
    }
  }
  return concatBytes(
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(lines)),
    chunk('IEND', new Uint8Array(0)),
  );
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const named = concatBytes(utf8(type), data);
  const bytes = new Uint8Array(named.length + 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(named, 4);
  view.setUint32(4 + named.length, crc32(named));
  return bytes;
}
