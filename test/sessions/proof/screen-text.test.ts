import { equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import type { Picture } from '../../../src/formats/image/picture.ts';
import { fontIn, hasChanged, isBlank, textOn } from '../../../src/sessions/proof/screen-text.ts';

const HEIGHT = 16;
const A = [0, 0, 16, 56, 108, 198, 198, 254, 198, 198, 198, 198, 0, 0, 0, 0];

/** A ROM with a font: "A" is everyone's, each other glyph is its own. */
function romWithFont(): Uint8Array {
  const rom = new Uint8Array(8192);
  for (let code = 0x21; code < 0x7f; code++) {
    for (let line = 2; line < 12; line++) rom[300 + code * HEIGHT + line] = code ^ (line * 37) || 1;
  }
  rom.set(A, 300 + 0x41 * HEIGHT);
  return rom;
}
const ROM = romWithFont();
const FONT = fontIn(ROM)!;

interface Drawn {
  readonly width: number;
  readonly height: number;
  readonly cell: 8 | 9;
}

function draw(text: string, { width, height, cell }: Drawn): Picture {
  const rgb = new Uint8Array(3 * width * height);
  for (const [row, line] of text.split('\n').entries()) {
    for (const [column, character] of line.split('').entries()) {
      const glyph = 300 + character.charCodeAt(0) * HEIGHT;
      for (let y = 0; y < HEIGHT; y++) {
        for (let x = 0; x < 8; x++) {
          const at = 3 * ((row * HEIGHT + y) * width + column * cell + x);
          if (((ROM[glyph + y]! >> (7 - x)) & 1) === 1) rgb.fill(170, at, at + 3);
        }
      }
    }
  }
  return { width, height, rgb };
}

const TEXT_MODE: Drawn = { width: 720, height: 400, cell: 9 };
const FRAME_BUFFER: Drawn = { width: 1280, height: 800, cell: 8 };

for (const on of [TEXT_MODE, FRAME_BUFFER]) {
  test(`what is drawn on ${on.width} x ${on.height} is read`, async () => {
    const text = 'GRUB loading.\n\n  error: unknown filesystem.\ngrub rescue>';
    equal(textOn(draw(text, on), FONT), text);
    equal(textOn(draw('', on), FONT), '');
    ok(isBlank(draw('', on)) && !isBlank(draw('A', on)));
  });
}

test('a cursor is not a character, and one that reverses its cell hides none', async () => {
  const picture = draw('login:', FRAME_BUFFER);
  for (const y of [13, 14]) {
    for (let x = 56; x < 64; x++) picture.rgb.fill(170, 3 * (y * 1280 + x), 3 * (y * 1280 + x) + 3);
  }
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < 8; x++) {
      const at = 3 * (y * 1280 + x);
      picture.rgb.fill(170 - picture.rgb[at]!, at, at + 3);
    }
  }
  equal(textOn(picture, FONT), 'login:');
});

test('a picture is not read as text', async () => {
  const rgb = new Uint8Array(3 * 640 * 480).map((_, at) => (at * 2_654_435_761) >>> 13);
  equal(textOn({ width: 640, height: 480, rgb }, FONT), undefined);
});

test('a clock or a cursor is no change, another window is', async () => {
  const before = draw('A', FRAME_BUFFER);
  ok(!hasChanged(before, draw('AB', FRAME_BUFFER)));
  ok(hasChanged(before, draw(`${'A'.repeat(160)}\n`.repeat(5), FRAME_BUFFER)));
  ok(hasChanged(before, draw('A', TEXT_MODE)));
});

test('any picture of any size is text, a picture, or empty; a ROM without a font has none', async () => {
  const size = fc.record({
    width: fc.integer({ min: 1, max: 40 }),
    height: fc.integer({ min: 1, max: 40 }),
  });
  const picture = size.chain(({ width, height }) =>
    fc
      .uint8Array({ minLength: 3 * width * height, maxLength: 3 * width * height })
      .map((rgb) => ({ width, height, rgb })),
  );
  fc.assert(
    fc.property(picture, (it) => {
      ok(['string', 'undefined'].includes(typeof textOn(it, FONT)));
      isBlank(it);
    }),
  );
  equal(fontIn(new Uint8Array(100)), undefined);
  equal(fontIn(Uint8Array.from(A)), undefined, 'its other characters would lie outside');
});
