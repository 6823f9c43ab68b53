import { deepEqual, equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { expired, type Retention } from '../../src/jobs/retention.ts';

const NONE: Retention = { last: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
const at = (created: string) => ({ id: created, created: `${created}:00.000Z` });

test('the newest of each period stays', async () => {
  const points = [
    '2025-12-31T23:59',
    '2026-01-01T00:00',
    '2026-11-15T10:00', // a Sunday
    '2026-11-16T10:00', // a Monday: another week
    '2026-11-20T01:00',
    '2026-11-20T13:00',
    '2026-11-21T01:00',
  ].map(at);
  const kept = (retention: Partial<Retention>): string[] => {
    const gone = new Set(expired(points, { ...NONE, ...retention }).map(({ id }) => id));
    return points.filter(({ id }) => !gone.has(id)).map(({ id }) => id.slice(2));
  };
  deepEqual(kept({ last: 2 }), ['26-11-20T13:00', '26-11-21T01:00']);
  deepEqual(kept({ daily: 2 }), ['26-11-20T13:00', '26-11-21T01:00']);
  deepEqual(kept({ weekly: 2 }), ['26-11-15T10:00', '26-11-21T01:00']);
  deepEqual(kept({ monthly: 2 }), ['26-01-01T00:00', '26-11-21T01:00']);
  deepEqual(kept({ yearly: 9 }), ['25-12-31T23:59', '26-11-21T01:00']);
  deepEqual(kept({}), ['26-11-21T01:00'], 'the newest always stays');
});

test('a day after the other, what is kept is never lost before its time', async () => {
  // The property that matters: running it each day keeps as much as running it once at the end.
  const retention = { last: 3, daily: 7, weekly: 4, monthly: 6, yearly: 2 };
  const day = 86_400_000;
  let points: { id: string; created: string }[] = [];
  const all: typeof points = [];
  for (let n = 0; n < 800; n++) {
    const created = new Date(Date.UTC(2024, 0, 1, 2) + n * day).toISOString();
    all.push({ id: created, created });
    points.push({ id: created, created });
    const gone = new Set(expired(points, retention).map(({ id }) => id));
    points = points.filter(({ id }) => !gone.has(id));
  }
  const atOnce = new Set(expired(all, retention).map(({ id }) => id));
  deepEqual(
    points,
    all.filter(({ id }) => !atOnce.has(id)),
  );
  ok(points.length <= 3 + 7 + 4 + 6 + 2);
});

test('the order of the points does not matter, and each rule keeps at most its count', async () => {
  const counts = fc.record({
    ...{
      last: fc.nat(4),
      daily: fc.nat(4),
      weekly: fc.nat(4),
      monthly: fc.nat(4),
      yearly: fc.nat(4),
    },
  });
  const times = fc.uniqueArray(fc.integer({ min: 0, max: 1_000_000_000 }), { minLength: 1 });
  fc.assert(
    fc.property(counts, times, (retention, seconds) => {
      const points = seconds.map((it) => {
        const created = new Date(it * 1000).toISOString();
        return { id: created, created };
      });
      const gone = expired(points, retention);
      deepEqual(expired(points.toReversed(), retention), gone);
      const kept = points.length - gone.length;
      const sum = Object.values(retention).reduce((a, b) => a + b, 0);
      equal(kept >= 1 && kept <= Math.max(1, sum), true);
    }),
  );
});
