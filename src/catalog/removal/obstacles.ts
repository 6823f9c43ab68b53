import type { Store } from '../../store/directory/store.ts';
import { CatalogError } from '../catalog-error.ts';
import { type Lease, leasesOf } from '../leases.ts';

/*
 * The one place that answers why a recovery point may not be removed. A caller that removes one asks here while it has
 * `leaseTurn`; a caller that only shows what it would remove needs no turn. A new reason is a new kind here, and holds
 * for `backup forget`, `backup retain` and schedules alike.
 */

/** Why a recovery point stays. */
export type Obstacle = {
  readonly kind: 'used';
  /** For people: `session vm1-k3x9`. */
  readonly by: string;
};

/** What keeps the points of one set, as it was when `obstaclesIn` read it. */
export interface Obstacles {
  /** Empty: the point may be removed. */
  of(id: string): Promise<readonly Obstacle[]>;
}

/** Reads once what counts for all points. Rejects CORRUPT: then none of them may be removed. */
export async function obstaclesIn(store: Store, set: string): Promise<Obstacles> {
  const leases = Map.groupBy(await leasesOf(store), (lease) => keyOf(lease));
  return {
    async of(id) {
      const found = leases.get(keyOf({ set, point: id })) ?? [];
      return found.map(({ holder }) => ({ kind: 'used', by: holder }));
    },
  };
}

/** For the person who wants to remove the point. */
export function removalRefused(id: string, obstacles: readonly Obstacle[]): CatalogError {
  const users = obstacles.map(({ by }) => by).join(', ');
  return new CatalogError('IN_USE', `${id} is in use by ${users}: discard or keep it`);
}

/** For a list of what stays. */
export function obstacleText(_id: string, { by }: Obstacle): string {
  return `it is in use by ${by}`;
}

function keyOf({ set, point }: Pick<Lease, 'set' | 'point'>): string {
  return `${set}/${point}`;
}
