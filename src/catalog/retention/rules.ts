import { steadyTimes } from '../../lib/steady-times.ts';
import { isTimeZone, zonedClock } from '../../lib/zoned-time.ts';
import { before, parseSpan, periodsIn, type Unit, UNITS } from './periods.ts';

/*
 * Decides which recovery points stay. Each rule keeps the newest point of each of its newest periods that have one; a
 * point stays if any rule keeps it. These are the rules of restic 0.14. Clocks are sometimes wrong: points are ordered
 * by publication, and a time that does not fit that order counts as that of the point before.
 */
export interface Retention {
  readonly last: number;
  readonly hourly?: number | undefined;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  readonly yearly: number;
  /** All points that are at most this much older than the newest: `14d`, `36h`, `1y6mo`. */
  readonly within?: string | undefined;
  /** Whose hours, days, weeks, months and years; absent: UTC, so that the result is the same on every host. */
  readonly timeZone?: string | undefined;
}

export interface DatedPoint {
  readonly id: string;
  /** ISO 8601. */
  readonly created: string;
}

/** Why a point stays. */
export interface Keeper {
  /** `newest`: it is the newest of its machine; `future`: its date has not come. */
  readonly by: 'last' | Unit | 'within' | 'newest' | 'future';
  /** The period or the number: `2026-W47`, `2 of 3`. */
  readonly what: string;
}

export interface Judged<T> {
  readonly point: T;
  /** None: no rule keeps it. */
  readonly keepers: readonly Keeper[];
}

export const UTC = 'UTC';

/** What is wrong with the rules: with which field, and how; undefined: nothing. */
export function faultOf(retention: Retention): readonly [keyof Retention | '', string] | undefined {
  const { within, timeZone, last, hourly = 0, daily, weekly, monthly, yearly } = retention;
  if (within !== undefined && !parseSpan(within)) {
    return ['within', `"${within}" is not a time such as 14d, 36h, 8w, 6mo, 1y or 1y6mo`];
  }
  if (timeZone !== undefined && !isTimeZone(timeZone)) {
    return ['timeZone', `"${timeZone}" is not a time zone such as Europe/Berlin or UTC`];
  }
  if (within === undefined && last + hourly + daily + weekly + monthly + yearly === 0) {
    // A mistake that would leave one recovery point.
    return ['', 'the rules keep nothing: give at least one --keep option above 0'];
  }
  return undefined;
}

/** A clock that was just corrected may have gone back this far. */
const FUTURE_MS = 10 * 60_000;

/** Whether the clock was wrong when the point was made, or is wrong now. An unreadable date counts as wrong. */
export function isOfTheFuture({ created }: DatedPoint, now: Date): boolean {
  return !(Date.parse(created) <= now.getTime() + FUTURE_MS);
}

/**
 * All points of one machine, with what keeps each; `published` is in the order of publication. The newest always stays.
 * A point from the future counts for no rule, and is never forgotten. The rules have no fault.
 */
export function judge<T extends DatedPoint>(
  published: readonly T[],
  retention: Retention,
  now: Date,
): Judged<T>[] {
  const keepers = new Map(published.map((point) => [point, [] as Keeper[]]));
  const keep = (point: T, by: Keeper['by'], what: string) => keepers.get(point)!.push({ by, what });
  const counted = published.filter((point) => !isOfTheFuture(point, now));
  const times = steadyTimes(counted.map(({ created }) => Date.parse(created)));
  const newestFirst = counted.map((point, at) => ({ point, ms: times[at]! })).toReversed();

  for (const [at, { point }] of newestFirst.slice(0, retention.last).entries()) {
    keep(point, 'last', `${at + 1} of ${retention.last}`);
  }
  keepByPeriod(newestFirst, retention, keep);
  keepWithin(newestFirst, retention, keep);
  for (const point of published) {
    if (isOfTheFuture(point, now)) keep(point, 'future', 'its date is in the future');
  }
  const newest = published.at(-1);
  if (newest && keepers.get(newest)!.length === 0) keep(newest, 'newest', 'the newest');
  return [...keepers].map(([point, its]) => ({ point, keepers: its }));
}

interface Timed<T> {
  readonly point: T;
  readonly ms: number;
}
type Keep<T> = (point: T, by: Keeper['by'], what: string) => void;

function keepByPeriod<T>(
  newestFirst: readonly Timed<T>[],
  retention: Retention,
  keep: Keep<T>,
): void {
  const periodsOf = periodsIn(retention.timeZone ?? UTC);
  const seen = Object.fromEntries(UNITS.map((unit) => [unit, new Set<string>()]));
  for (const { point, ms } of newestFirst) {
    const periods = periodsOf(ms);
    for (const unit of UNITS) {
      const [period, known] = [periods[unit], seen[unit]!];
      if (known.size >= (retention[unit] ?? 0) || known.has(period)) continue;
      known.add(period);
      keep(point, unit, period);
    }
  }
}

/** Counts from the newest, not from now: while no backups are made, none is lost. */
function keepWithin<T>(
  newestFirst: readonly Timed<T>[],
  { within, timeZone }: Retention,
  keep: Keep<T>,
): void {
  const [newest] = newestFirst;
  if (within === undefined || !newest) return;
  const start = before(zonedClock(timeZone ?? UTC), newest.ms, parseSpan(within)!);
  for (const { point, ms } of newestFirst) if (ms > start) keep(point, 'within', within);
}
