import { join } from 'node:path/posix';
import {
  encodePoint,
  linkTo,
  type PointLink,
  type PointRecord,
} from '../formats/store/catalog/point.ts';
import { copyRecord } from '../store/directory/record-copies.ts';
import type { Store } from '../store/directory/store.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { CatalogError } from './catalog-error.ts';
import { leaseTurn } from './leases.ts';
import { linkToFile, type MachineInSet, usableHead, writeHead } from './point-chain.ts';
import {
  type DamagedPoint,
  mayBeOf,
  pointPath,
  pointsOfMachine,
  readPointRecord,
  readWritten,
} from './points.ts';
import { byPublication } from './publication-order.ts';
import { mendSetRecord } from './set-copies.ts';
import type { OpenSet } from './sets.ts';
import { pointsDirectory } from './point-places.ts';

/*
 * How recovery points are published and forgotten. An incremental backup has to know the last state of the machine
 * that a backup saw, or that it is gone: points are counted, and the record of a forgotten one stays, under a name
 * that makes it a tombstone, as long as it is the newest backup or something names it
 * (formats/store/catalog/head.md).
 */

export const FORGOTTEN = '.forgotten';

export type PointDraft = Omit<PointRecord, 'set' | 'created' | 'sequence' | 'previous'>;

/**
 * The commit point of a backup: once this resolves the recovery point survives a power cut. Everything to which it
 * refers must have been committed before. The caller holds the store's lock. `known`: the machine's newest point as
 * remembered outside the store: if the store does not have it, the new point and the head name it.
 */
export async function publishPoint(
  store: Store,
  set: OpenSet,
  draft: PointDraft,
  known?: PointLink,
): Promise<PointRecord> {
  const { machine } = draft;
  await mendSetRecord(store, set);
  await using _turn = await turnToPublish(store, machine);
  const { others, ...place } = await placeInChain(store, set, { machine, known });
  const created = store.clock.now().toISOString();
  return await publishAt(store, set, { ...draft, set: set.name, created, ...place }, others);
}

/**
 * Publishes a point of another store, whose disks are here now, under its own ID and with its own time. The next
 * backup counts no changes from it. Rejects EXISTS as `requireNewest` does. For `known` and the rest see
 * `publishPoint`.
 */
export async function publishImported(
  store: Store,
  set: OpenSet,
  point: PointRecord,
  known?: PointLink,
): Promise<PointRecord> {
  const { machine } = point;
  await mendSetRecord(store, set);
  await using _turn = await turnToPublish(store, machine);
  await requireNewest(store, set, point, known);
  const { others, previous, sequence } = await placeInChain(store, set, { machine, known });
  const place = { set: set.name, previous, sequence: Math.max(sequence, point.sequence) };
  return await publishAt(store, set, { ...point, ...place, tracking: undefined }, others);
}

/**
 * Rejects EXISTS if the set has a newer recovery point of the machine than this one of another store, or had one: the
 * order of publication says which is the latest. Two stores that have parted count on their own, so its time counts
 * as well, unless it names that point as the one before it: then a clock was wrong. Changes nothing.
 */
export async function requireNewest(
  store: Store,
  set: OpenSet,
  point: PointRecord,
  known?: PointLink,
): Promise<void> {
  const { id, machine } = point;
  const { newest, end } = await chainEnd(store, set, { machine, known });
  const sequence = 1 + end;
  let isNewest = !newest || !isBefore(point, newest.record);
  if (sequence > 1 && point.sequence < sequence) {
    isNewest = false;
  }
  if (isNewest) return;
  const what = `set "${set.name}" has, or had, newer recovery points of machine "${machine}" than ${id}`;
  throw new CatalogError('EXISTS', `${what}: import it into a set of its own (--as NAME)`);
}

function isBefore({ created, previous }: PointRecord, newest: PointRecord): boolean {
  return previous?.id !== newest.id && Date.parse(created) < Date.parse(newest.created);
}

/** A point that is forgotten at this moment is before the new one, or is gone: not both. */
function turnToPublish(store: Store, machine: string): Promise<AsyncDisposable> {
  return leaseTurn(store, `publication of a recovery point of ${machine}`);
}

async function publishAt(
  store: Store,
  set: OpenSet,
  record: PointRecord,
  others: readonly PointLink[],
): Promise<PointRecord> {
  const { machine } = record;
  const bytes = encodePoint(record, set.keys.record);
  const point = readWritten(store, set, bytes);
  await putDurably(store.files, pointPath(store, point), bytes);
  await copyRecord(store, pointPath(store, point), bytes);
  // From now on this is the newest: if a power cut restores an older tombstone, that is outranked.
  if (store.has('point-chain')) {
    const link = linkTo(point, bytes);
    await writeHead(store, set, { machine, point: link, points: [...others, link] });
  }
  const isNewestBackup = point.origin === 'backup';
  const of = { set: set.name, machine };
  await dropTombstones(store, of, { isNewestBackup, key: set.keys.record });
  return point;
}

interface PlaceInChain extends Pick<PointRecord, 'previous' | 'sequence'> {
  /** Links that the new head must contain besides the new point. */
  readonly others: readonly PointLink[];
}

/** What there is of a machine, as far as it can be read. */
async function chainEnd(
  store: Store,
  set: OpenSet,
  { machine, known }: { readonly machine: string; readonly known: PointLink | undefined },
) {
  const of = { set: set.name, machine };
  const key = set.keys.record;
  const { points } = await pointsOfMachine(store, of, set.keys);
  const forgotten = await forgottenOf(store, of, key);
  const before = [
    ...points.map((record) => ({ path: pointPath(store, record), record })),
    ...forgotten.flatMap(({ path, record }) => (record ? [{ path, record }] : [])),
  ].toSorted((a, b) => byPublication(a.record, b.record));
  const newest = before.at(-1);
  const next = 1 + (newest?.record.sequence ?? 0);
  const isChained = store.has('point-chain');
  const head = isChained ? await usableHead(store, of, key) : undefined;
  const counted = isChained ? Math.max(head?.point?.sequence ?? 0, known?.sequence ?? 0) : 0;
  return { points, forgotten, newest, head, next, end: Math.max(next - 1, counted) };
}

/** The place after all earlier points of the machine. */
async function placeInChain(
  store: Store,
  set: OpenSet,
  { machine, known }: { readonly machine: string; readonly known: PointLink | undefined },
): Promise<PlaceInChain> {
  const found = await chainEnd(store, set, { machine, known });
  const { points, forgotten, newest, head, next, end } = found;
  if (!store.has('point-chain')) return { previous: undefined, sequence: 1 + end, others: [] };
  // Without a head, no check could say whether all points of the machine had been deleted.
  if (!head && !newest) await writeHead(store, set, { machine, point: undefined, points: [] });
  const last = newest && (await linkToFile(store, newest.path, newest.record));
  // Points that are missing but were not forgotten stay named.
  const gone = new Set(forgotten.map(({ id }) => id));
  const others = (head?.points ?? []).filter(({ id }) => !gone.has(id));
  const named = new Set(others.map(({ id }) => id));
  for (const point of points.filter(({ id }) => !named.has(id))) {
    others.push((await linkToFile(store, pointPath(store, point), point))!);
  }
  const isNamed = known && (gone.has(known.id) || others.some(({ id }) => id === known.id));
  if (known?.sequence === end && !isNamed) others.push(known);
  // A point ahead of all others was deleted, or the store has an older state: the chain keeps showing that.
  const ahead = end < next ? undefined : [known, head?.point].find((it) => it?.sequence === end);
  return { previous: ahead ?? last, sequence: 1 + end, others };
}

export interface NewestBackup {
  /** The newest one that a backup of the machine made; undefined: there is none. */
  readonly point: PointRecord | undefined;
  /** The ID of a newer one that was forgotten. */
  readonly forgotten: string | undefined;
  /** A damaged one that may be newer. */
  readonly damaged: DamagedPoint | undefined;
}

/** Changed blocks cannot be counted from a kept session: its state was never the machine's. */
export async function newestBackup(
  store: Store,
  set: OpenSet,
  machine: string,
): Promise<NewestBackup> {
  const of = { set: set.name, machine };
  const { points, damaged } = await pointsOfMachine(store, of, set.keys);
  const point = points.findLast(({ origin }) => origin === 'backup');
  const forgotten = await forgottenOf(store, of, set.keys.record);
  const newer = forgotten.find((it) => mayBeNewer(it, point, points));
  return { point, forgotten: newer?.id, damaged: damaged[0] };
}

/** Whether a tombstone belongs, or may belong, to a newer backup than `point`. */
function mayBeNewer(
  { id, record }: Tombstone,
  point: PointRecord | undefined,
  points: readonly PointRecord[],
): boolean {
  if (record) return record.origin === 'backup' && (!point || byPublication(record, point) > 0);
  // A damaged one is older than the point that names it.
  const after = points.find(({ previous }) => previous?.id === id);
  return !point || !after || byPublication(after, point) > 0;
}

/**
 * Removes the tombstones of a machine that are no longer needed: no recovery point and no head names them, and they
 * do not belong to its newest backup. `isNewestBackup`: one was just published, so no unreadable tombstone is newer.
 */
async function dropTombstones(
  store: Store,
  of: MachineInSet,
  { isNewestBackup, key }: { readonly isNewestBackup: boolean; readonly key: Uint8Array },
): Promise<void> {
  const tombstones = await forgottenOf(store, of, key);
  if (tombstones.length === 0) return;
  const { points } = await pointsOfMachine(store, of);
  const head = await usableHead(store, of, key);
  const named = new Set([
    head?.point?.id,
    ...(head?.points ?? []).map(({ id }) => id),
    ...points.map(({ previous }) => previous?.id),
  ]);
  const backups = [...points, ...tombstones.flatMap(({ record }) => record ?? [])]
    .filter(({ origin }) => origin === 'backup')
    .toSorted(byPublication);
  const newest = backups.at(-1)?.id;
  for (const { id, path, record } of tombstones) {
    const mayCount = record ? id === newest : !isNewestBackup;
    if (!named.has(id) && !mayCount) await store.files.unlink(path);
  }
}

/** The rest of a forgotten recovery point; without a record: it is damaged. */
export interface Tombstone {
  readonly id: string;
  readonly path: string;
  readonly record: PointRecord | undefined;
  /** The point was lost, and a person has accepted that. */
  readonly isLost: boolean;
}

/** The tombstones of one machine; damaged ones may belong to another machine. */
async function forgottenOf(
  store: Store,
  { set, machine }: MachineInSet,
  key: Uint8Array | undefined,
): Promise<Tombstone[]> {
  const all = await tombstones(store, set, key, (id) => mayBeOf(id, machine));
  return all.filter(({ record }) => !record || record.machine === machine);
}

/** The tombstones of a set whose IDs `isWanted` accepts. */
export async function tombstones(
  store: Store,
  set: string,
  key: Uint8Array | undefined,
  isWanted: (id: string) => boolean,
): Promise<Tombstone[]> {
  const directory = pointsDirectory(store, set);
  const found: Tombstone[] = [];
  if (!(await store.files.stat(directory))) return found;
  for (const name of await store.files.list(directory)) {
    const id = name.slice(0, -FORGOTTEN.length);
    if (!name.endsWith(FORGOTTEN) || !isWanted(id)) continue;
    const path = join(directory, name);
    const isLost = (await store.files.stat(path))?.size === 0;
    found.push({ id, path, isLost, record: await readable(store, path, key) });
  }
  return found;
}

/** Undefined: the record is damaged. */
async function readable(
  store: Store,
  path: string,
  key: Uint8Array | undefined,
): Promise<PointRecord | undefined> {
  const { files } = store;
  try {
    return await readPointRecord(files, store, path, key);
  } catch (cause) {
    if (cause instanceof CatalogError && cause.code === 'CORRUPT') return undefined;
    throw cause;
  }
}
