import { join } from 'node:path/posix';
import { dropRecordCopy } from '../../store/directory/record-copies.ts';
import { requireWritable } from '../../store/directory/store-lock.ts';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { CatalogError } from '../catalog-error.ts';
import { leaseTurn } from '../leases.ts';
import { machinesWithHead, usableHead } from '../point-chain.ts';
import { type PointPlace, pointsDirectory } from '../point-places.ts';
import { pointPath, readCopy, readPlaces } from '../points.ts';
import { dropProofs } from '../proof-records.ts';
import { FORGOTTEN } from '../publication.ts';
import { setNames } from '../sets.ts';
import { dropMarks } from './marks.ts';
import { type KeptPoint, type Obstacle, obstaclesIn, removalRefused } from './obstacles.ts';
import { mayHaveLocked } from './set-lock.ts';

/**
 * Forgets a point; its blocks stay until a sweep, and for as long as a process reads from it. `trustedMs`: trusted
 * time, by which locks end; undefined: it is not known, and none has ended. Rejects IN_USE while a session runs from
 * it, KEPT (obstacles.ts), NOT_FOUND.
 */
export async function forgetPoint(
  store: Store,
  place: PointPlace,
  trustedMs?: number,
): Promise<void> {
  const { set, id } = place;
  // A record never changes: it may be read before the turn.
  const { points, damaged } = await readPlaces(store, [place]);
  // One that is gone in the meantime is found to be so below.
  const own = { id, lockedUntil: points[0]?.lockedUntil };
  const point = damaged.length > 0 ? await byCopy(store, place) : own;
  const { kept, lost } = await forgetPoints(store, set, [point], trustedMs);
  const [first] = kept;
  if (first) throw removalRefused(id, first.obstacles);
  if (lost[0]) throw lost[0];
}

/**
 * A point whose own record is damaged or missing. Where the copy cannot be read either, nothing says how long the point
 * is locked: the lock that its set has by now may be another one.
 */
export async function byCopy(store: Store, place: PointPlace): Promise<KeptPoint> {
  const { id, set } = place;
  const copy = await readCopy(store, place);
  if (copy) return { id, lockedUntil: copy.lockedUntil };
  return { id, lockedUntil: undefined, isLockUnknown: await mayHaveLocked(store, set) };
}

export interface ForgottenPoints {
  readonly forgotten: readonly string[];
  readonly kept: readonly { readonly id: string; readonly obstacles: readonly Obstacle[] }[];
  /** NOT_FOUND of each that was not there, or is forgotten already. */
  readonly lost: readonly SystemError[];
}

/**
 * Forgets points of one set in one turn, with one look at what keeps points, and one sync. Whatever moment a power cut
 * chooses, each of them is either whole or forgotten. Neither a backup nor a reader makes it wait, but others who want
 * the turn wait for it: the caller limits the number. `trustedMs`: see `forgetPoint`.
 */
export async function forgetPoints(
  store: Store,
  set: string,
  points: readonly KeptPoint[],
  trustedMs: number | undefined,
): Promise<ForgottenPoints> {
  const { files } = store;
  const holder = points.length === 1 ? `backup forget ${points[0]!.id}` : `backup retain ${set}`;
  await using _turn = await turnToForget(store, holder);
  const { free, kept } = await sorted(store, set, points, trustedMs);
  const directory = pointsDirectory(store, set);
  const forgotten: string[] = [];
  const lost: SystemError[] = [];
  for (const id of free) {
    // Writes nothing new: this must be possible on a full disk. Reads nothing else: forgetting thousands of a machine's
    // points would read all of them each time. The next publication removes what is no longer needed.
    try {
      await dropRecordCopy(store, pointPath(store, { set, id }));
      await files.rename(pointPath(store, { set, id }), join(directory, id + FORGOTTEN));
      forgotten.push(id);
    } catch (cause) {
      if (!(cause instanceof SystemError) || cause.code !== 'NOT_FOUND') throw cause;
      lost.push(cause);
    }
  }
  await files.syncDirectory(directory);
  await dropProofs(store, set, forgotten);
  await dropMarks(store, set, forgotten);
  return { forgotten, kept, lost };
}

/** What `forgetPoints` would do now. */
export async function wouldForget(
  store: Store,
  set: string,
  points: readonly KeptPoint[],
  trustedMs: number | undefined,
): Promise<Pick<ForgottenPoints, 'forgotten' | 'kept'>> {
  const { free, kept } = await sorted(store, set, points, trustedMs);
  return { forgotten: free, kept };
}

async function sorted(
  store: Store,
  set: string,
  points: readonly KeptPoint[],
  trustedMs: number | undefined,
) {
  const obstacles = await obstaclesIn(store, set, trustedMs);
  const free: string[] = [];
  const kept: ForgottenPoints['kept'][number][] = [];
  for (const point of points) {
    const found = await obstacles.of(point);
    if (found.length === 0) free.push(point.id);
    else kept.push({ id: point.id, obstacles: found });
  }
  return { free, kept };
}

/** Publication, upgrades and repairs have it too: the store's lock, which a backup has for hours, is not needed. */
async function turnToForget(store: Store, holder: string): Promise<AsyncDisposable> {
  // A store that may not be changed stays untouched.
  await requireWritable(store);
  await using stack = new AsyncDisposableStack();
  const turn = stack.use(await leaseTurn(store, holder));
  // Another process may have upgraded the store before this one had its turn.
  await requireWritable(store);
  stack.move();
  return turn;
}

/**
 * Stops reporting a lost point that a head names as missing. Until then it may come back from its copy: what keeps a
 * point keeps it as well. Rejects as `forgetPoint`.
 */
export async function forgetLost(
  store: Store,
  query: string,
  trustedMs?: number,
): Promise<PointPlace> {
  const { files } = store;
  await using _turn = await turnToForget(store, `backup forget ${query}`);
  for (const set of await setNames(store)) {
    for (const machine of await machinesWithHead(store, set)) {
      const head = await usableHead(store, { set, machine }, undefined);
      const found = head?.points.find(({ id }) => query === id || query === `${set}/${id}`);
      if (!found) continue;
      const tombstone = join(pointsDirectory(store, set), found.id + FORGOTTEN);
      const isThere = await files.stat(pointPath(store, { set, id: found.id }));
      if (isThere || (await files.stat(tombstone))) continue;
      await requireFree(store, { set, id: found.id }, trustedMs);
      await putDurably(files, tombstone, new Uint8Array(0));
      return { set, id: found.id };
    }
  }
  throw new CatalogError('NOT_FOUND', `no recovery point "${query}": see "backup list"`);
}

async function requireFree(
  store: Store,
  place: PointPlace,
  trustedMs: number | undefined,
): Promise<void> {
  const { kept } = await sorted(store, place.set, [await byCopy(store, place)], trustedMs);
  const [first] = kept;
  if (!first) return;
  const { code, message } = removalRefused(place.id, first.obstacles);
  const advice = '"holdfast store repair" puts it back if its copy is whole';
  throw new CatalogError(code, `${message}; its record is missing: ${advice}`);
}
