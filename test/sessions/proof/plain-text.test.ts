import { equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { utf8 } from '../../../src/lib/bytes.ts';
import { plainText } from '../../../src/sessions/proof/plain-text.ts';

test('sequences that control a terminal are left out, also if they come in pieces', async () => {
  const written =
    '\u001b[2J\u001b[1;1H\u001b[01;31mred\u001b[0m \u001b]0;title\u0007äöü\u001b(B\u001b7!\b\u0000';
  for (let cut = 0; cut <= utf8(written).length; cut++) {
    const text = plainText(1000);
    text.push(utf8(written).subarray(0, cut));
    text.push(utf8(written).subarray(cut));
    equal(text.text.trim(), 'red äöü!', `cut at ${cut}`);
    equal(text.length, utf8(written).length);
  }
});

test('a place on a screen begins a line: boot loaders end none', async () => {
  const text = plainText(1000);
  text.push(utf8('GNU GRUB\u001b[5;1Hgrub> \u001b[5;7H'));
  equal(text.text, 'GNU GRUB\ngrub> \n');
});

test('of any bytes only the end is kept, without control characters', async () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 20 }), (parts) => {
      const text = plainText(100);
      for (const part of parts) text.push(part);
      ok(text.text.length <= 100);
      // oxlint-disable-next-line eslint/no-control-regex -- control characters are what it looks for
      ok(!/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/.test(text.text));
    }),
  );
});

test('the beginning of a sequence that never ends is not kept for ever', async () => {
  const text = plainText(1000);
  text.push(utf8('\u001b['));
  for (let n = 0; n < 100; n++) text.push(utf8('11111111'));
  text.push(utf8(' login: '));
  ok(text.text.endsWith(' login: '));
});
