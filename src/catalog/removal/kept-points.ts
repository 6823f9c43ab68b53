import type { Store } from '../../store/directory/store.ts';
import { pointIds } from '../point-places.ts';
import { readPlaces } from '../points.ts';
import { byCopy } from './forget-point.ts';
import { lostIds } from './needed.ts';
import { type Obstacle, obstaclesIn } from './obstacles.ts';

export interface KeptByObstacles {
  readonly id: string;
  readonly obstacles: readonly Obstacle[];
}

/**
 * The points of a set that may not be removed, also those whose record is damaged, or is missing although the point was
 * not forgotten. `trustedMs`: see `obstaclesIn`.
 */
export async function keptPoints(
  store: Store,
  set: string,
  trustedMs: number | undefined,
): Promise<readonly KeptByObstacles[]> {
  const ids = new Set([...(await pointIds(store, set)), ...(await lostIds(store, set))]);
  const places = [...ids].map((id) => ({ set, id }));
  const { points } = await readPlaces(store, places);
  const read = new Set(points.map(({ id }) => id));
  const obstacles = await obstaclesIn(store, set, trustedMs);
  const kept: KeptByObstacles[] = [];
  for (const place of places.filter(({ id }) => !read.has(id))) {
    const found = await obstacles.of(await byCopy(store, place));
    if (found.length > 0) kept.push({ id: place.id, obstacles: found });
  }
  for (const point of points) {
    const found = await obstacles.of(point);
    if (found.length > 0) kept.push({ id: point.id, obstacles: found });
  }
  return kept;
}

/** Whether the point is locked, or may be. */
export function isLocked({ obstacles }: KeptByObstacles): boolean {
  return obstacles.some(({ kind }) => kind === 'locked' || kind === 'unreadable');
}
