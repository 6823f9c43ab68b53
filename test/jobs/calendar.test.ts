import { deepEqual, equal, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { CalendarError, parseCalendar } from '../../src/jobs/calendar.ts';

/** In UTC, so that the test says the same everywhere. */
function next(at: string, after: string): string | undefined {
  return parseCalendar(`${at} UTC`)
    .next(new Date(`${after}Z`))
    ?.toISOString()
    .slice(0, 19);
}

test('what systemd-analyze calendar says', async () => {
  // 2026-11-21 is a Saturday. The right column is that of systemd 252.
  const cases: [string, string, string | undefined][] = [
    ['daily', '2026-11-21T18:00:00', '2026-11-22T00:00:00'],
    ['hourly', '2026-11-21T18:00:00', '2026-11-21T19:00:00'],
    ['hourly', '2026-11-21T18:59:59', '2026-11-21T19:00:00'],
    ['minutely', '2026-12-31T23:59:30', '2027-01-01T00:00:00'],
    ['weekly', '2026-11-21T18:00:00', '2026-11-23T00:00:00'],
    ['monthly', '2026-11-21T18:00:00', '2026-12-01T00:00:00'],
    ['quarterly', '2026-11-21T18:00:00', '2027-01-01T00:00:00'],
    ['yearly', '2026-11-21T18:00:00', '2027-01-01T00:00:00'],
    ['annually', '2027-01-01T00:00:00', '2028-01-01T00:00:00'],
    ['02:30', '2026-11-21T02:29:59', '2026-11-21T02:30:00'],
    ['02:30', '2026-11-21T02:30:00', '2026-11-22T02:30:00'],
    ['Mon..Fri 02:30', '2026-11-21T00:00:00', '2026-11-23T02:30:00'],
    ['Mon..Fri', '2026-11-20T12:00:00', '2026-11-23T00:00:00'],
    ['Sat,Sun 06:00', '2026-11-21T05:00:00', '2026-11-21T06:00:00'],
    ['wednesday 1:00', '2026-11-21T00:00:00', '2026-11-25T01:00:00'],
    ['*-*-01 04:00', '2026-11-21T00:00:00', '2026-12-01T04:00:00'],
    ['*-02-29', '2026-11-21T00:00:00', '2028-02-29T00:00:00'],
    ['Mon *-02-29', '2026-11-21T00:00:00', '2044-02-29T00:00:00'],
    ['Sun *-*-1..7 03:00', '2026-11-21T00:00:00', '2026-12-06T03:00:00'],
    ['12-24 18:00', '2026-11-21T00:00:00', '2026-12-24T18:00:00'],
    ['2026-11-30 08:15:30', '2026-11-21T00:00:00', '2026-11-30T08:15:30'],
    ['2020-01-01', '2026-11-21T00:00:00', undefined],
    ['*-04-31', '2026-11-21T00:00:00', undefined],
    ['*:0/15', '2026-11-21T18:16:00', '2026-11-21T18:30:00'],
    ['*:5/20', '2026-11-21T18:46:00', '2026-11-21T19:05:00'],
    ['8..18/2:00', '2026-11-21T10:30:00', '2026-11-21T12:00:00'],
    ['8..18/2:00', '2026-11-21T18:30:00', '2026-11-22T08:00:00'],
    ['1,13:05,35', '2026-11-21T01:10:00', '2026-11-21T01:35:00'],
    ['*:*:*', '2026-11-21T23:59:59', '2026-11-22T00:00:00'],
  ];
  for (const [at, after, expected] of cases)
    equal(next(at, after), expected, `${at} after ${after}`);
});

test('what systemd refuses though its meaning is plain', async () => {
  equal(next('Fri..Mon 10:00', '2026-11-24T00:00:00'), '2026-11-27T10:00:00');
  equal(next('*/6:30', '2026-11-21T18:30:00'), '2026-11-22T00:30:00');
  equal(next('*-1,7-1 00:00:*/30', '2026-11-21T00:00:00'), '2027-01-01T00:00:00');
});

test('what is no expression is refused by name', async () => {
  const wrong = [
    ...[
      '',
      'sometimes',
      'Mon Tue',
      '25:00',
      '10:60',
      '*-13-01',
      '*-*-32',
      '*-*-0',
      '1-2-3-4',
      '1:2:3:4',
    ],
    ...[
      '10:00 Mon',
      'Mon..',
      '..5:00',
      '5..1:00',
      '*/0:00',
      'a:00',
      '10:00 CET',
      '10',
      '-1:00',
      'Mon..Tue..Wed',
    ],
    ...['daily daily', '1..2..3:00', '0x10:00', ':', '-', '1e1:00', ','],
  ];
  for (const at of wrong) throws(() => parseCalendar(at), CalendarError, at);
});

test('any expression: the next time fits it, is later, and none between does', async () => {
  const part = (max: number) =>
    fc.oneof(
      fc.constant('*'),
      fc.nat(max).map(String),
      fc.tuple(fc.nat(max), fc.integer({ min: 1, max: 9 })).map(([from, by]) => `${from}/${by}`),
    );
  const expressions = fc.tuple(part(23), part(59)).map(([h, m]) => `${h}:${m}`);
  const moments = fc.integer({ min: 0, max: 2 ** 31 });
  fc.assert(
    fc.property(expressions, moments, (at, seconds) => {
      const after = new Date(seconds * 1000);
      const calendar = parseCalendar(`${at} UTC`);
      const found = calendar.next(after)!;
      equal(found > after, true);
      equal(found.getTime() - after.getTime() <= 86_400_000, true);
      const between = new Date((after.getTime() + found.getTime()) / 2);
      equal(calendar.next(between)!.getTime(), found.getTime());
      equal(calendar.next(new Date(found.getTime() - 1))!.getTime(), found.getTime());
    }),
    { numRuns: 200 },
  );
});

/** The clock on the wall of a place; what comes in a while, in UTC. */
function shown(zone: string, at: string, from: string, hours: number): string[] {
  const before = process.env['TZ'];
  process.env['TZ'] = zone;
  try {
    const until = new Date(Date.parse(`${from}Z`) + hours * 3_600_000);
    const found: string[] = [];
    const calendar = parseCalendar(at);
    let next = calendar.next(new Date(`${from}Z`));
    for (; next && next < until; next = calendar.next(next)) {
      found.push(next.toISOString().slice(11, 16));
    }
    return found;
  } finally {
    if (before === undefined) delete process.env['TZ'];
    else process.env['TZ'] = before;
  }
}

/** The times of a day, so many minutes apart. */
function steps(from: string, minutes: number, count: number): string[] {
  const start = Date.parse(`2000-01-01T${from}:00Z`);
  return Array.from({ length: count }, (_, n) =>
    new Date(start + n * minutes * 60_000).toISOString().slice(11, 16),
  );
}

// F27
test('what comes at every hour loses none when clocks are set back', async () => {
  const berlin = ['Europe/Berlin', '2027-10-30T22:30:00'] as const;
  deepEqual(shown(berlin[0], 'hourly', berlin[1], 5), steps('23:00', 60, 5));
  deepEqual(shown(berlin[0], '*:0/15', berlin[1], 5), steps('22:45', 15, 19));
  deepEqual(shown(berlin[0], '0/1:00', berlin[1], 5), steps('23:00', 60, 5));
  deepEqual(shown(berlin[0], 'Sun *:30', berlin[1], 5), steps('23:30', 60, 4));
  // Half an hour: 01:30 to 02:00 is shown twice, no full hour is.
  const lordHowe = ['Australia/Lord_Howe', '2027-04-03T13:00:01'] as const;
  deepEqual(shown(lordHowe[0], '*:0/15', lordHowe[1], 3), steps('13:15', 15, 12));
  deepEqual(shown(lordHowe[0], 'hourly', lordHowe[1], 3), ['14:00', '15:30']);
  deepEqual(shown(lordHowe[0], '*:45', lordHowe[1], 3), ['13:45', '14:45', '15:15']);
  // At midnight: 23:00 is shown twice.
  deepEqual(shown('America/Santiago', 'hourly', '2027-04-04T01:30:00', 4), steps('02:00', 60, 4));
});

test('what comes at every hour comes once an hour when clocks are set forward', async () => {
  const berlin = ['Europe/Berlin', '2027-03-27T23:30:00'] as const;
  deepEqual(shown(berlin[0], 'hourly', berlin[1], 4), steps('00:00', 60, 4));
  deepEqual(shown(berlin[0], '*:0/15', berlin[1], 4), steps('23:45', 15, 15));
  deepEqual(shown(berlin[0], '*:30', berlin[1], 4), steps('00:30', 60, 3));
  const lordHowe = ['Australia/Lord_Howe', '2027-10-02T14:00:01'] as const;
  deepEqual(shown(lordHowe[0], '*:0/15', lordHowe[1], 3), steps('14:15', 15, 12));
  // 02:00 is not shown.
  deepEqual(shown(lordHowe[0], 'hourly', lordHowe[1], 3), ['14:30', '16:00', '17:00']);
  // 00:00 to 01:00 is left out.
  deepEqual(shown('America/Santiago', 'hourly', '2027-09-05T02:30:00', 4), steps('03:00', 60, 4));
});

test('what comes at an hour of the day comes once a day, however clocks are set', async () => {
  for (const zone of [
    ...['Europe/Berlin', 'Australia/Lord_Howe', 'America/Santiago', 'Africa/Cairo'],
    ...['Asia/Beirut', 'America/Havana', 'Australia/Sydney', 'Asia/Kolkata'],
  ]) {
    for (const at of ['daily', '00:30', '01:45', '02:00', '02:30', '23:30']) {
      const found = shown(zone, at, '2027-01-01T12:00:00', 24 * 365);
      equal(found.length, 365, `${at} in ${zone}`);
    }
  }
});

test('every hour in every zone: whatever is found is shown, and the next hour that is shown is found', async () => {
  const zones = fc.constantFrom('Europe/Berlin', 'Australia/Lord_Howe', 'America/Santiago');
  const moments = fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2028, 0) });
  fc.assert(
    fc.property(zones, moments, fc.nat(59), (zone, ms, minute) => {
      const before = process.env['TZ'];
      process.env['TZ'] = zone;
      try {
        const found = parseCalendar(`*:${minute}`).next(new Date(ms))!;
        equal(found.getMinutes(), minute);
        let wanted = Math.floor(ms / 60_000 + 1) * 60_000;
        while (new Date(wanted).getMinutes() !== minute) wanted += 60_000;
        equal(found.getTime(), wanted);
      } finally {
        if (before === undefined) delete process.env['TZ'];
        else process.env['TZ'] = before;
      }
    }),
    { numRuns: 300 },
  );
});

test('arbitrary text gives a calendar or a CalendarError', async () => {
  const signs = fc.constantFrom(...'Mon *-:/.,0129dailyUTC'.split(''));
  fc.assert(
    fc.property(fc.array(signs, { maxLength: 20 }), (parts) => {
      try {
        parseCalendar(parts.join(''));
      } catch (error) {
        return error instanceof CalendarError;
      }
      return true;
    }),
  );
});
