import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { markedPlaces } from '../../../src/store/check/marked-places.ts';
import { liveFrames } from '../../../src/store/sweep/live-frames.ts';

/** A Map or a Set of JavaScript ends here. */
const ENTRIES_MAX = 2 ** 24;
const A_PACK = 2 ** 20;
const STEP = 64;
const PACKS = ENTRIES_MAX / A_PACK + 1;
const MEMORY_MAX = 16 * 2 ** 20;

test('a check remembers more nodes than a Set can hold, at a bit each', async () => {
  const before = process.memoryUsage().arrayBuffers;
  const seen = markedPlaces();
  for (let pack = 1; pack <= PACKS; pack++) {
    for (let at = 0; at < A_PACK; at++) seen.add({ pack, offset: at * STEP }, 0);
  }
  for (const pack of [1, PACKS]) {
    ok(seen.has({ pack, offset: 0 }, 0));
    ok(seen.has({ pack, offset: (A_PACK - 1) * STEP }, 0));
    equal(seen.has({ pack, offset: 0 }, 1), false);
  }
  equal(seen.has({ pack: PACKS + 1, offset: 0 }, 0), false);
  ok(process.memoryUsage().arrayBuffers - before < MEMORY_MAX);
});

test('so does a sweep', async () => {
  const before = process.memoryUsage().arrayBuffers;
  const live = liveFrames();
  live.know(Array.from({ length: PACKS }, (_, n) => n + 1));
  let added = 0;
  for (let pack = 1; pack <= PACKS; pack++) {
    for (let at = 0; at < A_PACK; at++) {
      if (live.addNode({ pack, offset: at * STEP })) added++;
    }
  }
  equal(added, PACKS * A_PACK);
  equal(live.addNode({ pack: PACKS, offset: 0 }), false);
  ok(process.memoryUsage().arrayBuffers - before < MEMORY_MAX);
});
