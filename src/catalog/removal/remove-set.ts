import { heldRoots } from '../../store/directory/reader-leases.ts';
import { lockStore } from '../../store/directory/store-lock.ts';
import type { Store } from '../../store/directory/store.ts';
import { CatalogError } from '../catalog-error.ts';
import { leaseTurn } from '../leases.ts';
import { rootsOf } from '../point-lease.ts';
import { pointIds } from '../point-places.ts';
import { readPlaces } from '../points.ts';
import { readSet } from '../sets.ts';
import { type KeptByObstacles, keptPoints } from './kept-points.ts';
import { obstacleText } from './obstacles.ts';
import { finishRemovals, takeSetAway } from './removed-sets.ts';

/** The most recovery points that a refusal names. */
const NAMED_MAX = 5;

/**
 * Removes a set with its recovery points and all that opens it; a sweep gives back its blocks. `trustedMs`: trusted
 * time, see `forgetPoint`. `require`: called under the lock; rejects where the set is used. Rejects
 * NOT_FOUND, CORRUPT where its record cannot be read; KEPT, IN_USE, BUSY.
 */
export async function removeSet(
  store: Store,
  name: string,
  {
    trustedMs,
    require,
  }: { readonly trustedMs: number | undefined; readonly require: () => Promise<void> },
): Promise<{ readonly points: number; readonly machines: readonly string[] }> {
  await using _lock = await lockStore(store, `set remove ${name}`);
  await finishRemovals(store);
  const { points, machines } = await (async () => {
    await using _turn = await leaseTurn(store, `set remove ${name}`);
    const record = await readSet(store, name);
    await require();
    const kept = await keptPoints(store, name, trustedMs);
    if (kept.length > 0) throw refused(name, kept);
    const places = (await pointIds(store, name)).map((id) => ({ set: name, id }));
    const read = await readPlaces(store, places);
    await requireUnread(store, name, {
      domain: Buffer.from(record.domain).toString('hex'),
      points: read.points,
    });
    await takeSetAway(store, record);
    const of = [...new Set(read.points.map(({ machine }) => machine))];
    return { points: places.length, machines: of };
  })();
  await finishRemovals(store);
  return { points, machines };
}

function refused(name: string, kept: readonly KeptByObstacles[]): CatalogError {
  const isUsed = kept.every(({ obstacles }) => obstacles.every(({ kind }) => kind === 'used'));
  const named = kept.slice(0, NAMED_MAX).map(({ id, obstacles }) => {
    return `${id}: ${obstacles.map((it) => obstacleText(id, it)).join('; ')}`;
  });
  const more = kept.length > NAMED_MAX ? `; and ${kept.length - NAMED_MAX} more` : '';
  const what = `set "${name}" stays, because recovery points of it may not be removed`;
  return new CatalogError(isUsed ? 'IN_USE' : 'KEPT', `${what}: ${named.join('; ')}${more}`);
}

/** Rejects IN_USE while a process reads from a point of the set: a mount, a restore, open files. */
async function requireUnread(
  store: Store,
  name: string,
  {
    domain,
    points,
  }: { readonly domain: string; readonly points: Awaited<ReturnType<typeof readPlaces>>['points'] },
): Promise<void> {
  const { roots, obstacles } = await heldRoots(store, [domain]);
  const [unknown] = obstacles;
  if (unknown) {
    const what = `set "${name}" stays, because it is not known who reads from it`;
    throw new CatalogError('IN_USE', `${what}: ${unknown.where}: ${unknown.what}`);
  }
  const placeOf = (it: { readonly pack: number; readonly offset: number }): string =>
    `${it.pack}/${it.offset}`;
  const held = new Set(
    roots.filter((it) => it.domain === domain).map(({ place }) => placeOf(place)),
  );
  for (const point of points) {
    const own = rootsOf(point, { set: name, domain });
    if (!own.some(({ place }) => held.has(placeOf(place)))) continue;
    const what = `a process reads from ${point.id}: a mount, open files, a restore, a check or a proof`;
    throw new CatalogError('IN_USE', `set "${name}" stays, because ${what}; end it first`);
  }
}
