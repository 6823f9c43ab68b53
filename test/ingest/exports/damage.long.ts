import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { requireNoticed, requireSound, smallExport } from './damage.ts';

for (const passphrase of [undefined, 'horse']) {
  test(`each flipped byte of an export is noticed (${passphrase ?? 'plain'})`, async () => {
    const small = await smallExport(passphrase);
    let whole = 0;
    for (let at = 0; at < small.bytes.length; at++) {
      const copy = small.bytes.slice();
      copy[at]! ^= 1 << (at & 7);
      await requireNoticed(copy, `byte ${at}`);
      if (at % 5 === 0) whole += await requireSound(small, copy, `byte ${at}`);
    }
    ok(whole > 0);
  });
}
