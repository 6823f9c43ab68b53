import { join } from 'node:path/posix';
import { lockStore } from '../../store/directory/store-lock.ts';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { CatalogError } from '../catalog-error.ts';
import { leaseTurn } from '../leases.ts';
import { machinesWithHead, usableHead } from '../point-chain.ts';
import { type PointPlace, pointsDirectory } from '../point-places.ts';
import { pointPath } from '../points.ts';
import { dropProofs } from '../proof-records.ts';
import { FORGOTTEN } from '../publication.ts';
import { setNames } from '../sets.ts';
import { obstaclesIn, removalRefused } from './obstacles.ts';

/** Forgets a point; its blocks stay until a sweep. Rejects IN_USE while a session runs from it, NOT_FOUND. */
export async function forgetPoint(store: Store, place: PointPlace): Promise<void> {
  const { files } = store;
  const holder = `backup forget ${place.id}`;
  await using _lock = await lockStore(store, holder);
  await using _turn = await leaseTurn(store, holder);
  const obstacles = await (await obstaclesIn(store, place.set)).of(place.id);
  if (obstacles.length > 0) throw removalRefused(place.id, obstacles);
  const path = pointPath(store, place);
  const directory = pointsDirectory(store, place.set);
  // Writes nothing new: this must be possible on a full disk. Reads nothing else: forgetting thousands of a machine's
  // points would read all of them each time. The next publication removes what is no longer needed.
  await files.rename(path, join(directory, place.id + FORGOTTEN));
  await files.syncDirectory(directory);
  await dropProofs(store, place);
}

/** Stops reporting a lost point that a head names as missing. Rejects NOT_FOUND. */
export async function forgetLost(store: Store, query: string): Promise<PointPlace> {
  const { files } = store;
  await using _lock = await lockStore(store, `backup forget ${query}`);
  for (const set of await setNames(store)) {
    for (const machine of await machinesWithHead(store, set)) {
      const head = await usableHead(store, { set, machine }, undefined);
      const found = head?.points.find(({ id }) => query === id || query === `${set}/${id}`);
      if (!found) continue;
      const tombstone = join(pointsDirectory(store, set), found.id + FORGOTTEN);
      const isThere = await files.stat(pointPath(store, { set, id: found.id }));
      if (isThere || (await files.stat(tombstone))) continue;
      await putDurably(files, tombstone, new Uint8Array(0));
      return { set, id: found.id };
    }
  }
  throw new CatalogError('NOT_FOUND', `no recovery point "${query}": see "backup list"`);
}
