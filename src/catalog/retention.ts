import { steadyTimes } from '../lib/steady-times.ts';

/*
 * Decides which recovery points stay. Each rule keeps the newest point of each of its newest periods that have one; a
 * point stays if any rule keeps it. Periods are in UTC, weeks begin on Monday: the result does not depend on the time
 * zone. Clocks are sometimes wrong: points are ordered by publication, and a time that does not fit that order counts
 * as that of the point before.
 */
export interface Retention {
  readonly last: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  readonly yearly: number;
}

export interface DatedPoint {
  readonly id: string;
  /** ISO 8601. */
  readonly created: string;
}

/** Whether it keeps anything: a retention that keeps nothing is a mistake. */
export function keepsSomething({ last, daily, weekly, monthly, yearly }: Retention): boolean {
  return last + daily + weekly + monthly + yearly > 0;
}

/** A clock that was just corrected may have gone back this far. */
const FUTURE_MS = 10 * 60_000;

/** Whether the clock was wrong when the point was made, or is wrong now. An unreadable date counts as wrong. */
export function isOfTheFuture({ created }: DatedPoint, now: Date): boolean {
  return !(Date.parse(created) <= now.getTime() + FUTURE_MS);
}

/**
 * The points of one machine that no rule keeps; `published` is in the order of publication. The newest always stays.
 * A point from the future counts for no rule, and is never forgotten.
 */
export function expired<T extends DatedPoint>(
  published: readonly T[],
  retention: Retention,
  now: Date,
): T[] {
  const counted = published.filter((point) => !isOfTheFuture(point, now));
  const times = steadyTimes(counted.map(({ created }) => Date.parse(created)));
  const newestFirst = counted
    .map((point, at) => ({ point, time: new Date(times[at]!) }))
    .toReversed();
  const kept = new Set(newestFirst.slice(0, retention.last).map(({ point }) => point));
  for (const newest of published.slice(-1)) kept.add(newest);
  for (const [period, count] of [
    [dayOf, retention.daily],
    [weekOf, retention.weekly],
    [monthOf, retention.monthly],
    [yearOf, retention.yearly],
  ] as const) {
    const newest = new Map<string, T>();
    for (const { point, time } of newestFirst) {
      const key = period(time);
      if (!newest.has(key)) newest.set(key, point);
    }
    for (const point of [...newest.values()].slice(0, count)) kept.add(point);
  }
  return counted.filter((point) => !kept.has(point));
}

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** Identifies a week by its Monday. */
function weekOf(date: Date): string {
  const sinceMonday = (date.getUTCDay() + 6) % 7;
  const monday = Date.UTC(
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate() - sinceMonday,
  );
  return dayOf(new Date(monday));
}

function monthOf(date: Date): string {
  return date.toISOString().slice(0, 7);
}

function yearOf(date: Date): string {
  return date.toISOString().slice(0, 4);
}
