/*
 * Which recovery points stay. Each rule keeps the newest point of each of its newest periods that have one; a point
 * stays if any rule keeps it. Periods are those of UTC, weeks begin on Monday: the same points are kept wherever the
 * question is asked.
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

/** Whether it keeps anything: one that keeps nothing is a mistake. */
export function keepsSomething({ last, daily, weekly, monthly, yearly }: Retention): boolean {
  return last + daily + weekly + monthly + yearly > 0;
}

/** Of the points of one machine: those that no rule keeps, oldest first. The newest always stays. */
export function expired<T extends DatedPoint>(points: readonly T[], retention: Retention): T[] {
  const newestFirst = [...points].sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
  const kept = new Set<T>(newestFirst.slice(0, Math.max(1, retention.last)));
  for (const [period, count] of [
    [dayOf, retention.daily],
    [weekOf, retention.weekly],
    [monthOf, retention.monthly],
    [yearOf, retention.yearly],
  ] as const) {
    const newest = new Map<string, T>();
    for (const point of newestFirst) {
      const key = period(new Date(point.created));
      if (!newest.has(key)) newest.set(key, point);
    }
    for (const point of [...newest.values()].slice(0, count)) kept.add(point);
  }
  return newestFirst.filter((point) => !kept.has(point)).toReversed();
}

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** By its Monday. */
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
