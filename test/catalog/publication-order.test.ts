import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'tap';
import { byPublication, oldestFirst, type Published } from '../../src/catalog/publication-order.ts';

const point = (id: string, sequence: number, created: string): Published => ({
  ...{ set: 'set', machine: 'vm', id, sequence, created },
});

test('points are in the order in which they were counted; those of a release that did not count, by time', async () => {
  const early = point('b', 0, '2026-11-20T00:00:00.000Z');
  const late = point('a', 0, '2026-11-21T00:00:00.000Z');
  const counted = point('c', 1, '2016-01-01T00:00:00.000Z');
  ok(byPublication(early, late) < 0);
  ok(byPublication(late, early) > 0);
  ok(byPublication(late, counted) < 0, 'whatever the clock said');
  const twin = point('d', 0, early.created);
  ok(byPublication(early, twin) < 0 && byPublication(twin, early) > 0, 'the same everywhere');
  deepEqual(oldestFirst([counted, late, early]), [early, late, counted]);
});
