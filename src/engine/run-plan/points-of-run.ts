import { CatalogError } from '../../catalog/catalog-error.ts';
import { idTime } from '../../catalog/point-places.ts';
import { readPlaces } from '../../catalog/points.ts';
import type { Engine } from '../base/engine.ts';

/** A backup of many machines does not take longer: points of later days need not be read. */
const LONGEST_MS = 7 * 86_400_000;

/** The IDs of all recovery points that one backup of several machines has made, in its order. Rejects NOT_FOUND. */
export async function pointsOfRun(
  { store, pointNames }: Pick<Engine, 'store' | 'pointNames'>,
  run: string,
): Promise<readonly string[]> {
  const began = idTime(run);
  const places = (await pointNames.newestFirst(undefined)).filter(
    ({ id }) => idTime(id) >= began && (began === 0 || idTime(id) - began <= LONGEST_MS),
  );
  const { points } = await readPlaces(store, places);
  const found = points.filter((point) => point.run === run).map(({ id }) => id);
  if (found.length > 0) return found.toReversed();
  const advice = '"holdfast backup show POINT" shows the run of a recovery point';
  throw new CatalogError('NOT_FOUND', `no recovery point belongs to a run "${run}": ${advice}`);
}
