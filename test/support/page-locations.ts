import { ok } from 'node:assert/strict';
import {
  pageLocations,
  type PageLocations,
  type PageLocationsLimits,
} from '../../src/block/sealed/map/page-locations.ts';
import type { File } from '../../src/sys/files/file-system.ts';

export const PLACES = 2 ** 14;

export interface Setup {
  readonly limits?: PageLocationsLimits;
  readonly budget?: number;
  readonly scratch?: () => Promise<File>;
}

export function noScratch(): Promise<File> {
  throw new Error('all has room in memory');
}

/** A disk's map with the live pages of each segment, as the log counts them. */
export function counted(
  pages: number,
  { limits, budget = 2 ** 26, scratch = noScratch }: Setup = {},
) {
  const live = new Map<number, number>();
  const count = (segment: number, more: number) => {
    const now = (live.get(segment) ?? 0) + more;
    ok(now >= 0, 'no segment loses more than it has');
    if (now === 0) live.delete(segment);
    else live.set(segment, now);
  };
  const map = pageLocations({
    pages,
    replaced: (segment, lost) => count(segment, -lost),
    budget,
    scratch,
    ...(limits && { limits }),
  });
  return {
    map,
    live,
    async set(first: number, pages: number, location: number) {
      await loaded(map, first, pages);
      count(Math.floor(location / PLACES), pages);
      map.set(first, pages, location);
    },
  };
}

export async function loaded(map: PageLocations, first: number, count: number): Promise<void> {
  while (!map.ready(first, count)) await map.load(first, count);
}

export function sum(counts: Iterable<number>): number {
  let all = 0;
  for (const count of counts) all += count;
  return all;
}

/** A place of its own for each page: no two are one behind the other. */
export function places() {
  let at = 1;
  return () => {
    at += 2;
    if (at % PLACES === PLACES - 1) at += 4;
    return at;
  };
}
