import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { inflateSync } from 'node:zlib';
import * as fc from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import {
  decodePpm,
  decodeSmall,
  encodePng,
  encodeSmall,
  PPM_LENGTH_MAX,
  shrunk,
} from '../../../src/formats/image/picture.ts';
import { pattern } from '../../support/random.ts';

const PICTURE = { width: 5, height: 4, rgb: pattern(60) };

function ppm(header: string, length: number): Uint8Array {
  return Uint8Array.from(Buffer.concat([Buffer.from(header), pattern(length)]));
}

test('a PPM picture is read as QEMU writes it, and nothing else is', async () => {
  deepEqual(decodePpm(ppm('P6\n5 4\n255\n', 60)), PICTURE);
  const largest = ppm('P6\n2560 1600\n255\n', 3 * 2560 * 1600);
  ok(largest.length <= PPM_LENGTH_MAX && decodePpm(largest).width === 2560);
  const others: readonly [string, number][] = [
    ['P6\n5 4\n255\n', 59],
    ['P6\n5 4\n65535\n', 120],
    ['P6\n0 4\n255\n', 0],
    ['P6\n99999 99999\n255\n', 60],
    ['P5\n5 4\n255\n', 20],
  ];
  for (const [header, length] of others) throws(() => decodePpm(ppm(header, length)), FormatError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
      for (const decode of [decodePpm, decodeSmall]) {
        try {
          decode(Buffer.concat([Buffer.from('P6 1 1 255 '), noise]));
        } catch (error) {
          ok(error instanceof FormatError);
        }
      }
    }),
  );
});

test('a PNG picture holds every pixel', async () => {
  const png = Buffer.from(encodePng(PICTURE));
  equal(png.subarray(1, 4).toString(), 'PNG');
  equal(png.readUInt32BE(16), 5);
  equal(png.readUInt32BE(20), 4);
  const lines = inflateSync(png.subarray(41, 41 + png.readUInt32BE(33)));
  const rgb = Buffer.alloc(60);
  for (let y = 0; y < 4; y++) {
    equal(lines[y * 16], 2, 'each line differs from the one above');
    for (let x = 0; x < 15; x++) {
      rgb[y * 15 + x] = lines[y * 16 + 1 + x]! + (y > 0 ? rgb[(y - 1) * 15 + x]! : 0);
    }
  }
  deepEqual(Uint8Array.from(rgb), PICTURE.rgb);
});

test('a smaller picture has the proportions and the colors of the large one', async () => {
  const half = Uint8Array.of(0, 0, 0, 100, 50, 20, 200, 0, 0, 100, 50, 20);
  const small = shrunk({ width: 4, height: 1, rgb: half }, { width: 2, height: 10 });
  deepEqual(small, { width: 2, height: 1, rgb: Uint8Array.of(50, 25, 10, 150, 25, 10) });
  equal(shrunk(PICTURE, { width: 160, height: 100 }), PICTURE);
  const wide = shrunk(
    { width: 1280, height: 800, rgb: pattern(3 * 1280 * 800) },
    {
      ...{ width: 160, height: 100 },
    },
  );
  deepEqual([wide.width, wide.height, wide.rgb.length], [160, 100, 48_000]);
  deepEqual(decodeSmall(encodeSmall(small)), small);
});
