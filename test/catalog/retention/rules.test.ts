import { deepEqual, equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import {
  type DatedPoint,
  faultOf,
  judge,
  type Retention,
} from '../../../src/catalog/retention/rules.ts';

const NONE: Retention = { last: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
const NOW = new Date('2027-01-01T00:00:00Z');
/** What nothing keeps. */
const expired = <T extends DatedPoint>(points: readonly T[], rules: Retention, now: Date): T[] =>
  judge(points, rules, now)
    .filter(({ keepers }) => keepers.length === 0)
    .map(({ point }) => point);
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
    const gone = new Set(expired(points, { ...NONE, ...retention }, NOW).map(({ id }) => id));
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
    const gone = new Set(expired(points, retention, NOW).map(({ id }) => id));
    points = points.filter(({ id }) => !gone.has(id));
  }
  const atOnce = new Set(expired(all, retention, NOW).map(({ id }) => id));
  deepEqual(
    points,
    all.filter(({ id }) => !atOnce.has(id)),
  );
  ok(points.length <= 3 + 7 + 4 + 6 + 2);
});

const RULES: readonly Partial<Retention>[] = [
  { last: 1 },
  { last: 3 },
  { daily: 2 },
  { weekly: 2, monthly: 1 },
  { last: 1, daily: 7, weekly: 4, monthly: 12, yearly: 3 },
];

// A8, F20, D6
test('the newest by publication stays, whatever the clock said when it was made', async () => {
  for (const [name, wrong] of [
    ['a clock that was back', '2016-01-01T00:00'],
    ['a clock that was ahead', '2036-01-01T00:00'],
  ] as const) {
    const points = ['2026-11-19T01:00', '2026-11-20T01:00', wrong].map(at);
    for (const rules of RULES) {
      const gone = expired(points, { ...NONE, ...rules }, NOW);
      ok(!gone.includes(points[2]!), `${name}: ${JSON.stringify(rules)}`);
    }
  }
  const back = ['2026-11-19T01:00', '2026-11-20T01:00', '2016-01-01T00:00'].map(at);
  deepEqual(expired(back, { ...NONE, last: 1 }, NOW), back.slice(0, 2));
  deepEqual(
    expired(back, { ...NONE, daily: 2 }, NOW),
    back.slice(1, 2),
    'made after, so of that day',
  );
});

test('a point from the future counts for no rule, and no rule forgets it', async () => {
  const points = ['2036-01-01T00:00', '2026-11-19T01:00', '2026-11-20T01:00'].map(at);
  const [future, older, newer] = points;
  for (const rules of RULES) {
    const gone = expired(points, { ...NONE, ...rules }, NOW);
    ok(!gone.includes(future!) && !gone.includes(newer!), JSON.stringify(rules));
    deepEqual(
      gone,
      expired([older!, newer!], { ...NONE, ...rules }, NOW),
      'as if it were not there',
    );
  }
  deepEqual(expired(points, { ...NONE, last: 1 }, NOW), [older]);
  // The clock is wrong now: all that there is is of the future.
  deepEqual(expired(points, { ...NONE, last: 1 }, new Date('1970-01-01T00:01:00Z')), []);
  const bad = { id: 'x', created: 'when?' };
  deepEqual(expired([bad, ...points], { ...NONE, last: 1 }, NOW), [older]);
});

test('a clock that was set right by some minutes makes no point of the future', async () => {
  const points = ['2026-12-31T23:00', '2027-01-01T00:05'].map(at);
  deepEqual(expired(points, { ...NONE, last: 1 }, NOW), [points[0]]);
});

test('one point of a clock that was ahead loses no month when its time has come', async () => {
  // It would give its date to all that were made since, were the latest date until then taken for theirs.
  const months = Array.from({ length: 11 }, (_, n) =>
    at(`2026-${String(n + 1).padStart(2, '0')}-15T01:00`),
  );
  const points = [at('2026-12-01T00:00'), ...months, at('2026-12-15T01:00')];
  const gone = expired(points, { ...NONE, monthly: 12 }, NOW);
  deepEqual(gone, [points[0]]);
});

test('each rule keeps at most its count, and the newest by publication stays', async () => {
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
      const gone = expired(points, retention, NOW);
      ok(!gone.includes(points.at(-1)!));
      const kept = points.length - gone.length;
      const sum = Object.values(retention).reduce((a, b) => a + b, 0);
      equal(kept >= 1 && kept <= Math.max(1, sum), true);
    }),
  );
});

test('each point is kept with the rules and the periods that keep it', async () => {
  const points = ['2026-11-15T10:00', '2026-11-20T01:00', '2026-11-20T13:10', '2026-11-20T13:50'];
  const told = (rules: Partial<Retention>) =>
    judge(points.map(at), { ...NONE, ...rules }, NOW).map(({ point, keepers }) => [
      point.id.slice(5),
      keepers.map(({ by, what }) => `${by} ${what}`).join('; '),
    ]);
  deepEqual(told({ last: 1, hourly: 2, weekly: 2 }), [
    ['11-15T10:00', 'weekly 2026-W46'],
    ['11-20T01:00', 'hourly 2026-11-20 01h'],
    ['11-20T13:10', ''],
    ['11-20T13:50', 'last 1 of 1; hourly 2026-11-20 13h; weekly 2026-W47'],
  ]);
  deepEqual(told({ monthly: 9, yearly: 1, within: '13h' }), [
    ['11-15T10:00', ''],
    ['11-20T01:00', 'within 13h'],
    ['11-20T13:10', 'within 13h'],
    ['11-20T13:50', 'monthly 2026-11; yearly 2026; within 13h'],
  ]);
  deepEqual(told({}).at(-1), ['11-20T13:50', 'newest the newest']);
  const future = [...points, '2028-01-01T00:00'].map(at);
  deepEqual(judge(future, { ...NONE, last: 1 }, NOW).at(-1)!.keepers, [
    { by: 'future', what: 'its date is in the future' },
  ]);
});

test('days are those of the time zone', async () => {
  // In New York both were made at about 16:00, on two days; in UTC on one.
  const points = ['2026-11-19T20:55', '2026-11-20T00:05', '2026-11-20T20:50'].map(at);
  const gone = (timeZone: string | undefined) =>
    expired(points, { ...NONE, daily: 9, timeZone }, NOW).map(({ id }) => id);
  deepEqual(gone(undefined), ['2026-11-20T00:05']);
  deepEqual(gone('UTC'), ['2026-11-20T00:05']);
  deepEqual(gone('America/New_York'), ['2026-11-19T20:55']);
});

test('what cannot be a rule is named', async () => {
  for (const within of ['14', '0d', '1m', '1d1y', '', '1.5d', '9999999h', '-1d', '1d ']) {
    deepEqual(faultOf({ ...NONE, within })?.[0], 'within', within);
  }
  for (const within of ['1h', '36h', '14d', '1y6mo2w3d4h', '2w']) {
    equal(faultOf({ ...NONE, within }), undefined);
  }
  for (const timeZone of ['Mars/Olympus', '', 'Europe/', 'UTC+']) {
    deepEqual(faultOf({ ...NONE, last: 1, timeZone })?.[0], 'timeZone', timeZone);
  }
  equal(faultOf({ ...NONE, last: 1, timeZone: 'Europe/Berlin' }), undefined);
  deepEqual(faultOf(NONE), ['', 'the rules keep nothing: give at least one --keep option above 0']);
  equal(faultOf({ ...NONE, hourly: 1 }), undefined);
});

/** Rules as one would say them, point by point; days by another way through the calendar. */
function plainly(times: readonly number[], rules: Retention, zone: string): boolean[] {
  const wall = (ms: number) => new Date(ms).toLocaleString('sv-SE', { timeZone: zone });
  const monday = (ms: number): string => {
    const noon = new Date(`${wall(ms).slice(0, 10)}T12:00:00Z`);
    while (noon.getUTCDay() !== 1) noon.setUTCDate(noon.getUTCDate() - 1);
    return noon.toISOString();
  };
  const periods = [
    [rules.hourly ?? 0, (ms: number) => wall(ms).slice(0, 13)],
    [rules.daily, (ms: number) => wall(ms).slice(0, 10)],
    [rules.weekly, monday],
    [rules.monthly, (ms: number) => wall(ms).slice(0, 7)],
    [rules.yearly, (ms: number) => wall(ms).slice(0, 4)],
  ] as const;
  return times.map((ms, at) => {
    const newer = times.slice(at + 1);
    if (newer.length === 0 || newer.length < rules.last) return true;
    return periods.some(([count, of]) => {
      const later = new Set(newer.map(of));
      return !later.has(of(ms)) && later.size < count;
    });
  });
}

test('a second, plain implementation keeps the same, in any time zone', async () => {
  const count = fc.integer({ min: 0, max: 6 });
  const rules = fc.record({
    ...{ last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count },
  });
  const zone = fc.constantFrom(
    ...['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe'],
  );
  // From minutes to months between two.
  const gaps = fc.array(
    fc.oneof(
      fc.integer({ min: 1, max: 7200 }),
      fc.integer({ min: 1, max: 3 * 86_400 }),
      fc.integer({ min: 1, max: 80 * 86_400 }),
    ),
    { minLength: 1, maxLength: 40 },
  );
  const start = fc.integer({ min: Date.UTC(2015, 0, 1) / 1000, max: Date.UTC(2016, 0, 1) / 1000 });
  fc.assert(
    fc.property(rules, zone, start, gaps, (counts, timeZone, first, steps) => {
      let seconds = first;
      const times = steps.map((step) => 1000 * (seconds += step));
      const points = times.map((ms) => ({ id: `${ms}`, created: new Date(ms).toISOString() }));
      const judged = judge(points, { ...counts, timeZone }, NOW);
      deepEqual(
        judged.map(({ keepers }) => keepers.length > 0),
        plainly(times, counts, timeZone),
      );
    }),
    { numRuns: 60 },
  );
});
