/*
 * Calendar expressions as in systemd.time(7), "CALENDAR EVENTS", without `~` and fractions of seconds:
 *
 *     [weekdays] [[year-]month-day] [hour:minute[:second]] [UTC]
 *     minutely hourly daily weekly monthly quarterly yearly
 *
 * where each number may be `*`, a list `1,15`, a range `1..5`, and may repeat: `0/15`, `8..18/2`. A missing date means
 * every day, a missing time midnight. Without UTC it is local time, which is set forward in spring and back in autumn.
 * An event at every hour occurs whenever the local clock shows the time: twice in an hour that the clock repeats, not
 * in one that it skips. An event at certain hours occurs once a day for each: a skipped hour counts as the one after
 * it, and of a repeated hour the first counts.
 */
export interface Calendar {
  /** The first time after `after`; undefined: never again. */
  next(after: Date): Date | undefined;
}

/** An error in an expression. */
export class CalendarError extends Error {
  override readonly name = 'CalendarError';
}

const WORDS: Readonly<Record<string, string>> = {
  minutely: '*-*-* *:*:00',
  hourly: '*-*-* *:00:00',
  daily: '*-*-* 00:00:00',
  weekly: 'Mon *-*-* 00:00:00',
  monthly: '*-*-01 00:00:00',
  quarterly: '*-01,04,07,10-01 00:00:00',
  yearly: '*-01-01 00:00:00',
  annually: '*-01-01 00:00:00',
};
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const HOURS = 24;
const DAY_MS = 86_400_000;
const LENGTH_MAX = 256;
const YEAR_MIN = 1970;
const YEAR_MAX = 2199;
/** A 29th of February may be eight years away, and on a given weekday forty. */
const DAYS_AHEAD = 41 * 366;

interface Parts {
  readonly weekdays: ReadonlySet<number>;
  readonly years: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly hours: readonly number[];
  readonly minutes: readonly number[];
  readonly seconds: readonly number[];
  readonly utc: boolean;
}

/** Throws CalendarError. */
export function parseCalendar(source: string): Calendar {
  if (source.length > LENGTH_MAX) throw new CalendarError('the expression is too long');
  const parts = partsOf(source.trim());
  const isWithEveryHour = !parts.utc && parts.hours.length === HOURS;
  return { next: (after) => (isWithEveryHour ? nextShown(parts, after) : nextOf(parts, after)) };
}

function partsOf(source: string): Parts {
  const [first = '', ...others] = source.split(/\s+/);
  const expanded = WORDS[first.toLowerCase()];
  const words = expanded === undefined ? [first, ...others] : [...expanded.split(' '), ...others];
  const utc = words.at(-1) === 'UTC';
  if (utc) words.pop();
  const weekday = /^[A-Za-z]/.test(words[0] ?? '') ? words.shift() : undefined;
  const date = /-/.test(words[0] ?? '') ? words.shift() : undefined;
  const time = /:/.test(words[0] ?? '') ? words.shift() : undefined;
  if (words.length > 0 || (weekday ?? date ?? time) === undefined) {
    const what = words[0] === undefined || words[0] === '' ? 'nothing' : `"${words[0]}"`;
    throw new CalendarError(`${what} is not a weekday, date or time: see systemd.time(7)`);
  }
  const dates = (date ?? '*-*-*').split('-');
  const [year, month, day] = dates.length === 2 ? ['*', ...dates] : dates;
  const times = (time ?? '00:00:00').split(':');
  const [hour, minute, second = '00'] = times;
  if (dates.length > 3 || times.length > 3) {
    throw new CalendarError(`"${source}" is not YEAR-MONTH-DAY HOUR:MINUTE:SECOND`);
  }
  return {
    weekdays: new Set(weekday === undefined ? DAYS.keys() : weekdaysOf(weekday)),
    years: new Set(numbers('year', year, YEAR_MIN, YEAR_MAX)),
    months: new Set(numbers('month', month, 1, 12)),
    days: new Set(numbers('day', day, 1, 31)),
    hours: numbers('hour', hour, 0, 23),
    minutes: numbers('minute', minute, 0, 59),
    seconds: numbers('second', second, 0, 59),
    utc,
  };
}

function weekdaysOf(source: string): number[] {
  const dayOf = (name: string): number => {
    const lower = name.toLowerCase();
    const known = DAYS.findIndex((day) => lower === day || isFullName(lower, day));
    if (known < 0) throw new CalendarError(`"${name}" is not a weekday: Mon, Tue, ... Sun`);
    return known;
  };
  return source
    .replace(/,$/, '')
    .split(',')
    .flatMap((part) => {
      const [from = '', to = from, ...more] = part.split(/\.\.|-/);
      if (more.length > 0) throw new CalendarError(`"${part}" is not a range of weekdays`);
      const first = dayOf(from);
      const count = (dayOf(to) - first + 7) % 7;
      return Array.from({ length: count + 1 }, (_, step) => (first + step) % 7);
    });
}

function isFullName(name: string, day: string): boolean {
  const rest = {
    sun: 'day',
    mon: 'day',
    tue: 'sday',
    wed: 'nesday',
    thu: 'rsday',
    fri: 'day',
    sat: 'urday',
  };
  return name === day + rest[day as keyof typeof rest];
}

function numbers(what: string, source: string | undefined, min: number, max: number): number[] {
  const wrong = (): CalendarError =>
    new CalendarError(
      `"${source ?? ''}" is not a valid ${what}: ${min} to ${max}, *, a..b, a/step, lists`,
    );
  const found = new Set<number>();
  for (const part of (source ?? '').split(',')) {
    const match = /^(?:(\*)|(\d{1,4})(?:\.\.(\d{1,4}))?)(?:\/(\d{1,4}))?$/.exec(part);
    if (!match) throw wrong();
    const [, all, from, to, step] = match;
    const start = all === undefined ? Number(from) : min;
    // A step alone continues to the end: `5/10` is 5, 15, 25 and so on.
    const isOpen = all !== undefined || (to === undefined && step !== undefined);
    const end = isOpen ? max : Number(to ?? from);
    const by = Number(step ?? 1);
    if (start < min || end > max || end < start || by < 1) throw wrong();
    for (let number = start; number <= end; number += by) found.add(number);
  }
  return [...found].sort((a, b) => a - b);
}

function nextOf(parts: Parts, after: Date): Date | undefined {
  const { utc } = parts;
  const start = utc
    ? { year: after.getUTCFullYear(), month: after.getUTCMonth(), day: after.getUTCDate() }
    : { year: after.getFullYear(), month: after.getMonth(), day: after.getDate() };
  for (let ahead = 0; ahead <= DAYS_AHEAD; ahead++) {
    // Counted in UTC, where every day has 24 hours.
    const date = new Date(Date.UTC(start.year, start.month, start.day + ahead));
    if (!isDay(parts, date)) continue;
    const found = timeOn(parts, date, after);
    if (found) return found;
  }
  return undefined;
}

/** The next matching local time, across changes of the clock. */
function nextShown(parts: Parts, after: Date): Date | undefined {
  let fromMs = after.getTime();
  let offsetMs = offsetAt(fromMs);
  for (;;) {
    // The local time as if the clock were never changed again, calculated in UTC.
    const shown = nextOf({ ...parts, utc: true }, new Date(fromMs - offsetMs));
    if (!shown) return undefined;
    const foundMs = shown.getTime() + offsetMs;
    const change = firstChange(fromMs, foundMs, offsetMs);
    if (change === undefined) return new Date(foundMs);
    // Just before it, so that the time of the change counts as well.
    fromMs = change - 1;
    offsetMs = offsetAt(change);
  }
}

/** The first change of the clock between two times, the latter included; `offsetMs`: the offset before it. */
function firstChange(fromMs: number, toMs: number, offsetMs: number): number | undefined {
  // No time zone changes its clocks twice in a day.
  for (let before = fromMs; before < toMs; before += DAY_MS) {
    let after = Math.min(before + DAY_MS, toMs);
    if (offsetAt(after) === offsetMs) continue;
    let same = before;
    while (after - same > 1) {
      const middle = Math.floor((same + after) / 2);
      if (offsetAt(middle) === offsetMs) same = middle;
      else after = middle;
    }
    return after;
  }
  return undefined;
}

/** The offset to add to local time to get UTC. */
function offsetAt(ms: number): number {
  return new Date(ms).getTimezoneOffset() * 60_000;
}

function isDay({ weekdays, years, months, days }: Parts, date: Date): boolean {
  return (
    weekdays.has(date.getUTCDay()) &&
    years.has(date.getUTCFullYear()) &&
    months.has(date.getUTCMonth() + 1) &&
    days.has(date.getUTCDate())
  );
}

function timeOn(
  { hours, minutes, seconds, utc }: Parts,
  date: Date,
  after: Date,
): Date | undefined {
  const at = (hour: number, minute: number, second: number): Date => {
    const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
    return utc
      ? new Date(Date.UTC(year, month, day, hour, minute, second))
      : new Date(year, month, day, hour, minute, second);
  };
  const lastMinute = minutes.at(-1)!;
  const lastSecond = seconds.at(-1)!;
  for (const hour of hours) {
    if (at(hour, lastMinute, lastSecond) <= after) continue;
    for (const minute of minutes) {
      if (at(hour, minute, lastSecond) <= after) continue;
      for (const second of seconds) {
        const found = at(hour, minute, second);
        if (found > after) return found;
      }
    }
  }
  return undefined;
}
