import { join } from 'node:path/posix';
import type { DomainKeys } from '../formats/store/frame.ts';
import { encodePoint, type PointRecord } from '../formats/store/point.ts';
import { lockStore } from '../store/store-lock.ts';
import type { Store } from '../store/store.ts';
import { putDurably } from '../sys/put-durably.ts';
import type { World } from '../sys/world.ts';
import { CatalogError } from './catalog-error.ts';
import { leasesOf, leaseTurn } from './leases.ts';
import {
  type DamagedPoint,
  mayBeOf,
  type PointPlace,
  pointPath,
  pointsDirectory,
  pointsOfMachine,
  readPointFile,
} from './points.ts';
import { byPublication } from './publication-order.ts';
import { mendSetRecord, type OpenSet } from './sets.ts';

/*
 * How recovery points come and go. An incremental backup has to know which was the last state of the machine that
 * a backup saw, or that it is gone: points are counted, and the record of a forgotten newest one stays, under a
 * name that makes it no recovery point, until the next backup has been published.
 */

export type PointDraft = Omit<PointRecord, 'set' | 'created' | 'sequence'>;

const FORGOTTEN = '.forgotten';

/**
 * The commit point of everything: once this resolves the recovery point survives a power cut. All that
 * it refers to must have been committed before. The caller holds the store's lock.
 */
export async function publishPoint(
  world: World,
  store: Store,
  set: OpenSet,
  draft: PointDraft,
): Promise<PointRecord> {
  const { files, clock } = world;
  await mendSetRecord(world, store, set);
  const machine = { set: set.name, machine: draft.machine };
  const { points } = await pointsOfMachine(world, store, machine, set.keys);
  const forgotten = await forgottenOf(world, store, machine, set.keys);
  const before = [...points, ...forgotten.map(({ record }) => record)];
  const sequence = 1 + Math.max(0, ...before.map((point) => point?.sequence ?? 0));
  const created = clock.now().toISOString();
  const point: PointRecord = { ...draft, set: set.name, created, sequence };
  await putDurably(files, pointPath(store, point), encodePoint(point, set.keys.record));
  // From now on this is the newest: if a power cut brings one of those back, it says less.
  if (point.origin === 'backup') for (const { path } of forgotten) await files.unlink(path);
  return point;
}

export interface NewestBackup {
  /** That a backup of the machine made; undefined: there is none. */
  readonly point: PointRecord | undefined;
  /** A newer one that was forgotten: its ID. */
  readonly forgotten: string | undefined;
  /** One that may be newer. */
  readonly damaged: DamagedPoint | undefined;
}

/** A session that was kept is no state of the machine that changed blocks could be counted from. */
export async function newestBackup(
  world: World,
  store: Store,
  set: OpenSet,
  machine: string,
): Promise<NewestBackup> {
  const of = { set: set.name, machine };
  const { points, damaged } = await pointsOfMachine(world, store, of, set.keys);
  const point = points.findLast(({ origin }) => origin === 'backup');
  const isNewer = (record: PointRecord | undefined): boolean =>
    !record || !point || byPublication(record, point) > 0;
  const forgotten = await forgottenOf(world, store, of, set.keys);
  const newer = forgotten.find(({ record }) => isNewer(record));
  return { point, forgotten: newer?.id, damaged: damaged[0] };
}

/** Its blocks stay until a sweep. Rejects IN_USE while a session runs from it, NOT_FOUND. */
export async function forgetPoint(world: World, store: Store, place: PointPlace): Promise<void> {
  const { files } = world;
  const holder = `backup forget ${place.id}`;
  await using _lock = await lockStore(world, store, holder);
  await using _turn = await leaseTurn(world, store, holder);
  const holders = (await leasesOf(world, store)).filter(
    ({ set, point }) => set === place.set && point === place.id,
  );
  if (holders.length > 0) {
    const sessions = holders.map(({ holder }) => holder).join(', ');
    throw new CatalogError('IN_USE', `${place.id} is in use by ${sessions}: discard or keep it`);
  }
  const path = pointPath(store, place);
  const directory = pointsDirectory(store, place.set);
  // Nothing is written anew: this has to be possible on a full disk.
  if (await mayBeNewest(world, store, place)) {
    await files.rename(path, join(directory, place.id + FORGOTTEN));
  } else await files.unlink(path);
  await files.syncDirectory(directory);
}

/** Of the backups of its machine. */
async function mayBeNewest(world: World, store: Store, place: PointPlace): Promise<boolean> {
  const point = await readable(world, store, pointPath(store, place), undefined);
  if (!point) return true;
  if (point.origin !== 'backup') return false;
  const { machine } = point;
  const { points } = await pointsOfMachine(world, store, { set: place.set, machine });
  return points.findLast(({ origin }) => origin === 'backup')?.id === point.id;
}

/** Backups that were the newest when they were forgotten; without a record: it is damaged. */
interface Forgotten {
  readonly id: string;
  readonly path: string;
  readonly record: PointRecord | undefined;
}

async function forgottenOf(
  world: World,
  store: Store,
  { set, machine }: { readonly set: string; readonly machine: string },
  keys?: DomainKeys,
): Promise<Forgotten[]> {
  const directory = pointsDirectory(store, set);
  const found: Forgotten[] = [];
  for (const name of await world.files.list(directory)) {
    const id = name.slice(0, -FORGOTTEN.length);
    if (!name.endsWith(FORGOTTEN) || !mayBeOf(id, machine)) continue;
    const path = join(directory, name);
    found.push({ id, path, record: await readable(world, store, path, keys?.record) });
  }
  return found;
}

/** Undefined: it is damaged. */
async function readable(
  { files }: World,
  store: Store,
  path: string,
  key: Uint8Array | undefined,
): Promise<PointRecord | undefined> {
  try {
    return await readPointFile(files, store, path, key);
  } catch (cause) {
    if (cause instanceof CatalogError && cause.code === 'CORRUPT') return undefined;
    throw cause;
  }
}
