import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { blockCache } from '../../../src/store/decode/block-cache.ts';
import { below, seeded } from '../../support/random.ts';

test('no two blocks ever share memory, and what is found is what was put there', async () => {
  const cache = blockCache(2 ** 20);
  const random = seeded(4);
  const places = new Map<number, { place: number; length: number; domain: number }>();
  const filling: number[] = [];
  for (let n = 0; n < 20_000; n++) {
    const key = below(random, 400);
    const domain = key % 3;
    if (cache.find(domain, key, key) < 0 && !filling.includes(key)) {
      const length = 4096 * (1 + below(random, 64));
      const place = cache.reserve(domain, { key, tag: key, plainLength: length });
      if (place === undefined) {
        ok(filling.length > 0, 'refused only while rows are being filled');
      } else {
        for (const other of filling) {
          const it = places.get(other)!;
          ok(
            place + length <= it.place || it.place + it.length <= place,
            'overlaps one being filled',
          );
        }
        places.set(key, { place, length, domain });
        filling.push(key);
      }
    }
    if (filling.length > 3 || random() < 0.3) {
      const done = filling.shift();
      if (done !== undefined) cache.settle(places.get(done)!.place, random() < 0.9);
    }
    const any = below(random, 400);
    const found = cache.find(any % 3, any, any);
    if (found >= 0) {
      equal(found, places.get(any)?.place);
      equal(cache.lengthAt(found), places.get(any)?.length);
    }
    equal(cache.find((any + 1) % 3, any, any), -1, 'of another domain');
    equal(cache.find(any % 3, any, any + 1), -1, 'another block at the same place');
  }
});
