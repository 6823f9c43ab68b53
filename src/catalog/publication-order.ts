import type { PointRecord } from '../formats/store/catalog/point.ts';
import { steadyTimes } from '../lib/steady-times.ts';

/*
 * Decides which recovery point is newer. Clocks are sometimes wrong: among the points of one machine only the order
 * of publication counts. Between machines there is only time.
 */
export type Published = Pick<PointRecord, 'set' | 'machine' | 'id' | 'created' | 'sequence'>;

/** Compares points of one machine in one set. For points of releases that did not count, there is only time. */
export function byPublication(a: Published, b: Published): number {
  return a.sequence - b.sequence || compare(a.created, b.created) || compare(a.id, b.id);
}

/** Sorts points of any machines, oldest first; where time and order differ, a time that fits the order counts. */
export function oldestFirst<T extends Published>(points: Iterable<T>): T[] {
  const placed: { readonly point: T; readonly owner: string; readonly ms: number }[] = [];
  for (const [owner, its] of Map.groupBy(points, ({ set, machine }) => `${set}/${machine}`)) {
    its.sort(byPublication);
    // Unreadable times count as the oldest of all.
    const times = steadyTimes(its.map(({ created }) => Date.parse(created) || 0));
    for (const [at, point] of its.entries()) placed.push({ point, owner, ms: times[at]! });
  }
  placed.sort(
    (a, b) => a.ms - b.ms || compare(a.owner, b.owner) || byPublication(a.point, b.point),
  );
  return placed.map(({ point }) => point);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
