import type { HeadRecord } from '../../formats/store/catalog/head.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { heldRoots } from '../../store/directory/reader-leases.ts';
import type { Obstacle, Root } from '../../store/directory/roots.ts';
import type { Store } from '../../store/directory/store.ts';
import type { NeededSource } from '../../store/sweep/sweep-packs.ts';
import { CatalogError } from '../catalog-error.ts';
import { sessionsAndLeases } from '../leases.ts';
import { machinesWithHead, usableHead } from '../point-chain.ts';
import { rootsOf } from '../point-lease.ts';
import { pointIds, pointsDirectory, SUFFIX } from '../point-places.ts';
import { pointPath, readPlaces } from '../points.ts';
import { FORGOTTEN, tombstones } from '../publication.ts';
import { listSets } from '../sets.ts';
import { removedSets } from './removed-sets.ts';

/** Keys of sets that are open, by name: their records are authenticated. */
export type SetKeys = ReadonlyMap<string, DomainKeys>;

/**
 * What recovery points and readers need, each time it is asked: a recovery point's record never changes, so that each
 * is read once. Points first, then leases: a point that is forgotten in between and still read is in the second list. A
 * set whose record cannot be read may belong to any domain, and a lease that cannot be read may protect any point: both
 * hold back every domain.
 */
export function neededSource(store: Store, keys: SetKeys): NeededSource {
  /** Points that were read, by set and ID. */
  const known = new Set<string>();
  let lost: readonly LostPoint[] | undefined;

  return async () => {
    const { sets, damaged } = await listSets(store);
    const domains = new Map(sets.map(({ name, domain }) => [name, hex(domain)]));
    const all = new Set(domains.values());
    const roots: Root[] = [];
    const obstacles: Obstacle[] = [];
    try {
      for (const { domain } of await removedSets(store)) all.add(hex(domain));
    } catch (cause) {
      if (!(cause instanceof CatalogError)) throw cause;
      // Only what removed sets needed stays.
      obstacles.push({
        domain: 'of removed sets',
        where: 'removed-sets.json',
        what: cause.message,
      });
    }
    const holdBack = (where: string, what: string): void => {
      for (const domain of all) obstacles.push({ domain, where, what });
    };
    for (const { path, reason } of damaged) holdBack(path, reason);
    if (!lost) lost = await lostPoints(store, [...domains.keys()]);
    for (const { set, where, what } of lost) {
      obstacles.push({ domain: domains.get(set)!, where, what });
    }
    for (const [set, domain] of domains) {
      const ids = (await pointIds(store, set)).filter((id) => !known.has(`${set}/${id}`));
      // What was forgotten and not synced may be a recovery point again after a power cut, and needs its frames then.
      const directory = pointsDirectory(store, set);
      if (await store.files.stat(directory)) await store.files.syncDirectory(directory);
      const places = ids.map((id) => ({ set, id }));
      const { points, damaged: unread } = await readPlaces(store, places, keys.get(set));
      for (const point of points) {
        known.add(`${set}/${point.id}`);
        roots.push(...rootsOf(point, { set, domain }));
      }
      for (const { path, reason } of unread) obstacles.push({ domain, where: path, what: reason });
    }
    const leases = await sessionsAndLeases(store);
    for (const { path, reason } of leases.damaged) holdBack(path, reason);
    for (const { set, point, holder } of leases.leases) {
      if (known.has(`${set}/${point}`)) continue;
      const what = `${holder} needs it, and its record is missing: "holdfast store repair" may put it back`;
      const domain = domains.get(set);
      const where = pointPath(store, { set, id: point });
      if (domain === undefined) holdBack(where, what);
      else obstacles.push({ domain, where, what });
    }
    const held = await heldRoots(store, all);
    roots.push(...held.roots);
    obstacles.push(...held.obstacles);
    return { roots, domains: all, obstacles };
  };
}

interface LostPoint {
  readonly set: string;
  readonly where: string;
  readonly what: string;
}

/**
 * Recovery points that heads name and that neither exist nor were forgotten: they may come back, from a copy of the
 * store or out of lost+found.
 */
async function lostPoints(store: Store, sets: readonly string[]): Promise<LostPoint[]> {
  const { files } = store;
  const lost: LostPoint[] = [];
  for (const set of sets) {
    const directory = pointsDirectory(store, set);
    if (!(await files.stat(directory))) {
      lost.push({ set, where: directory, what: 'the directory is missing' });
      continue;
    }
    for (const machine of await machinesWithHead(store, set)) {
      const head = await usableHead(store, { set, machine }, undefined);
      const ids = await missingOf(store, set, head);
      if (ids.length === 0) continue;
      // A backup may have replaced the head in the meantime, and removed tombstones that it no longer names.
      const again = await usableHead(store, { set, machine }, undefined);
      for (const id of await missingOf(store, set, again)) {
        const where = pointPath(store, { set, id });
        const what =
          'it was not forgotten and is missing: "holdfast store repair" puts it back if its copy is whole; else put ' +
          `it back from a copy of the store, or "holdfast backup forget ${id}"`;
        lost.push({ set, where, what });
      }
    }
  }
  return lost;
}

/** The same of one set, by ID. */
export async function lostIds(store: Store, set: string): Promise<readonly string[]> {
  const { files } = store;
  if (!(await files.stat(pointsDirectory(store, set)))) return [];
  const ids: string[] = [];
  for (const machine of await machinesWithHead(store, set)) {
    ids.push(
      ...(await missingOf(store, set, await usableHead(store, { set, machine }, undefined))),
    );
  }
  return ids;
}

async function missingOf(
  store: Store,
  set: string,
  head: HeadRecord | undefined,
): Promise<readonly string[]> {
  const names = new Set(await store.files.list(pointsDirectory(store, set)));
  const ids = (head?.points ?? []).map(({ id }) => id);
  return ids.filter((id) => !names.has(id + SUFFIX) && !names.has(id + FORGOTTEN));
}

/** Roots of forgotten points of which the records are still there. */
export async function forgottenRoots(store: Store): Promise<Root[]> {
  const { sets } = await listSets(store);
  const roots: Root[] = [];
  for (const { name, domain } of sets) {
    for (const { record } of await tombstones(store, name, undefined, () => true)) {
      if (record) roots.push(...rootsOf(record, { set: name, domain: hex(domain) }));
    }
  }
  return roots;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
