import type { PointRecord } from '../formats/store/catalog/point.ts';
import { steadyTimes } from '../lib/steady-times.ts';

/*
 * Which recovery point is newer. Clocks are wrong at times: of one machine the order in which its points were
 * published counts, and nothing else. Between machines there is only time.
 */
export type Published = Pick<PointRecord, 'set' | 'machine' | 'id' | 'created' | 'sequence'>;

/** For points of one machine in one set. Where a release did not count yet, time is all there is. */
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
