import { type ShownTime, type ZonedClock, zonedClock } from '../../lib/zoned-time.ts';

/*
 * The periods of retention, by the clock of one time zone: hours, days, weeks of ISO 8601, months and years. An hour
 * that the clock shows twice, in autumn, is one.
 */
export const UNITS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Unit = (typeof UNITS)[number];

/** Names the period of each unit in which a time lies: `2026-11-20`, `2026-W47`. */
export type Periods = (ms: number) => Readonly<Record<Unit, string>>;

const DAY_MS = 86_400_000;

/** Throws RangeError unless it is a time zone. */
export function periodsIn(timeZone: string): Periods {
  const clock = zonedClock(timeZone);
  return (ms) => {
    const { year, month, day, hour } = clock.shown(ms);
    const date = `${digits(year, 4)}-${digits(month)}-${digits(day)}`;
    return {
      hourly: `${date} ${digits(hour)}h`,
      daily: date,
      weekly: isoWeek(year, month, day),
      monthly: date.slice(0, -3),
      yearly: digits(year, 4),
    };
  };
}

/** A week belongs to the year in which its Thursday lies, and begins on Monday. */
function isoWeek(year: number, month: number, day: number): string {
  const date = Date.UTC(year, month - 1, day);
  const sinceMonday = (new Date(date).getUTCDay() + 6) % 7;
  const thursday = date + (3 - sinceMonday) * DAY_MS;
  const weekYear = new Date(thursday).getUTCFullYear();
  const week = 1 + Math.floor((thursday - Date.UTC(weekYear, 0, 1)) / (7 * DAY_MS));
  return `${digits(weekYear, 4)}-W${digits(week)}`;
}

function digits(number: number, length = 2): string {
  return String(number).padStart(length, '0');
}

/** A length of time in units of the calendar: `14d`, `36h`, `1y6mo`. */
export type Span = Readonly<Record<'years' | 'months' | 'weeks' | 'days' | 'hours', number>>;

/** `1y6mo2w3d12h`: units in this order, each at most once; no `m`, which could be minutes or months. */
const SPAN = /^(?:(\d{1,2})y)?(?:(\d{1,3})mo)?(?:(\d{1,4})w)?(?:(\d{1,4})d)?(?:(\d{1,5})h)?$/;

/** Undefined: it is none, or has no length. */
export function parseSpan(text: string): Span | undefined {
  const numbers = SPAN.exec(text)
    ?.slice(1)
    .map((it: string | undefined) => Number(it ?? 0));
  if (!numbers?.some((it) => it > 0)) return undefined;
  const [years, months, weeks, days, hours] = numbers as [number, number, number, number, number];
  return { years, months, weeks, days, hours };
}

/** The time this far before `ms`: days are those of the calendar, also where clocks change; hours are exact. */
export function before(clock: ZonedClock, ms: number, span: Span): number {
  const shown = clock.shown(ms);
  const start: ShownTime = {
    ...shown,
    year: shown.year - span.years,
    month: shown.month - span.months,
    day: shown.day - span.days - 7 * span.weeks,
  };
  return clock.when(start) + (ms % 1000) - span.hours * 3_600_000;
}
