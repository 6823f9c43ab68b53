import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'tap';
import { codecPool, type FileCodec } from '../../../../src/block/sealed/segments/codec-pool.ts';
import {
  PAGE_LENGTH,
  PLACE_LENGTH,
  slotCodec,
} from '../../../../src/formats/store/sessions/overlay-log.ts';
import { pageSealer } from '../../../../src/sys/crypto/page-sealer.ts';
import { pattern } from '../../../support/random.ts';

const MAX = 3;
const FILES = 20;
const slot = { place: 1, kind: 'pages', page: 7, durable: { segment: 0, place: 0 } } as const;

test('however many files a log has, a few codecs are ready, and each has its own key', async () => {
  let ready = 0;
  const pool = codecPool(({ salt }): FileCodec => {
    ready++;
    const sealer = pageSealer(salt, 2);
    return Object.assign(slotCodec(sealer), {
      [Symbol.dispose]() {
        ready--;
        sealer[Symbol.dispose]();
      },
    });
  }, MAX);
  const codecs = Array.from({ length: FILES }, (_, at) =>
    pool({ of: 'segment', number: 1, salt: pattern(32, at) }),
  );
  equal(ready, 0);
  const places = codecs.map((codec) => {
    const into = new Uint8Array(PLACE_LENGTH);
    codec.seal(into, slot, pattern(PAGE_LENGTH));
    return into;
  });
  equal(ready, MAX);
  const body = new Uint8Array(PAGE_LENGTH);
  for (let round = 0; round < 2 * FILES; round++) {
    const at = (round * 7) % FILES;
    equal(codecs[at]!.open(places[at]!, 1, body)?.page, 7);
    deepEqual(body, pattern(PAGE_LENGTH));
    equal(codecs[at]!.open(places[(at + 1) % FILES]!, 1, body), undefined);
    equal(ready, MAX);
  }
  for (const codec of codecs) codec[Symbol.dispose]();
  equal(ready, 0);
  throws(() => codecs[0]!.open(places[0]!, 1, body), { name: 'InvariantError' });
});
