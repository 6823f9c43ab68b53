import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'tap';
import {
  decodeHeadFile,
  encodeHeadFile,
} from '../../../../src/formats/store/sessions/overlay-head.ts';
import { encodeHead } from '../../../../src/formats/store/sessions/overlay-log.ts';
import { HEAD } from '../../../support/overlay-slots.ts';

test('any byte of the file of a head may be altered, and the head is found and called damaged', async () => {
  const bytes = encodeHeadFile(HEAD);
  deepEqual(decodeHeadFile(bytes), { head: HEAD, isDamaged: false });
  for (let at = 0; at < bytes.length; at++) {
    const altered = Uint8Array.from(bytes);
    altered[at]! ^= 1 << (at % 8);
    const { head, isDamaged } = decodeHeadFile(altered);
    equal(isDamaged, true, `byte ${at}`);
    if (at % 16 === 0) deepEqual(head, HEAD);
  }
  // One that was cut short has the first copy, or none.
  for (const length of [44, 45, 4096, 4139]) {
    deepEqual(decodeHeadFile(bytes.subarray(0, length)), { head: HEAD, isDamaged: true });
  }
  throws(() => decodeHeadFile(bytes.subarray(0, 43)), { code: 'TRUNCATED' });
  equal(decodeHeadFile(Uint8Array.of(...bytes, 0)).isDamaged, true);
});

test('a head of which no copy is whole, or whose copies differ, is refused', async () => {
  const bytes = encodeHeadFile(HEAD);
  const broken = Uint8Array.from(bytes);
  broken[20]! ^= 1;
  broken[4096 + 30]! ^= 1;
  throws(() => decodeHeadFile(broken), { code: 'CORRUPT', message: /checksum/ });
  const other = Uint8Array.from(bytes);
  other.set(encodeHead({ ...HEAD, suite: 1 }), 4096);
  throws(() => decodeHeadFile(other), { code: 'CORRUPT', message: /say different things/ });
});
