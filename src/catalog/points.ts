import { join } from 'node:path/posix';
import type { DomainKeys } from '../formats/store/packs/frame.ts';
import { FormatError } from '../formats/format-error.ts';
import { decodePoint, type PointRecord } from '../formats/store/catalog/point.ts';
import { recordCopyPath } from '../store/directory/record-copies.ts';
import type { Store } from '../store/directory/store.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { World } from '../sys/world.ts';
import { CatalogError } from './catalog-error.ts';
import type { PointNames } from './point-names.ts';
import { byPublication, oldestFirst } from './publication-order.ts';
import { readRecord } from './read-record.ts';
import { noSet, type OpenSet, setNames } from './sets.ts';
import { machineOf, type PointPlace, pointsDirectory, pointIds, SUFFIX } from './point-places.ts';

/** 256 disks with long sources, and files. */
const RECORD_LENGTH_MAX = 2 * 1024 * 1024;
const RANDOM_LENGTH = 3;
/** After the machine's name: `-20261120T215403Z` and `-3f9c2a`. */
const RANDOM_TAIL_LENGTH = 1 + 2 * RANDOM_LENGTH;
const ID_TAIL_LENGTH = 1 + '20261120T215403Z'.length + RANDOM_TAIL_LENGTH;

export function pointPath(store: Store, { set, id }: PointPlace): string {
  return join(pointsDirectory(store, set), id + SUFFIX);
}

/** A new ID for a recovery point that is made now. */
export function newPointId({ clock, random }: World, machine: string): string {
  const time = clock.now().toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
  return `${machine}-${time}-${Buffer.from(random.bytes(RANDOM_LENGTH)).toString('hex')}`;
}

/** Whether it can be found now; its name may not be durable yet. */
export async function pointExists(store: Store, place: PointPlace): Promise<boolean> {
  const { files } = store;
  return (await files.stat(pointPath(store, place))) !== undefined;
}

/** Whether its name is durable: after a writer was killed, a power cut may still undo the name. */
export async function isPublished(store: Store, place: PointPlace): Promise<boolean> {
  if (!(await pointExists(store, place))) return false;
  await store.files.syncDirectory(pointsDirectory(store, place.set));
  return true;
}

export interface PointList {
  readonly points: readonly PointRecord[];
  /** Unreadable records. */
  readonly damaged: readonly DamagedPoint[];
}

export interface DamagedPoint {
  readonly set: string;
  readonly id: string;
  readonly path: string;
  readonly reason: string;
}

/**
 * The recovery points of one set, or of all; oldest first, each machine's in the order of publication. Without a key
 * of the set its records are not authenticated.
 */
export async function listPoints(
  store: Store,
  set: string | undefined,
  keys?: DomainKeys,
): Promise<PointList> {
  const all = await setNames(store);
  if (set !== undefined && !all.includes(set)) throw noSet(store, set, all);
  const sets = set === undefined ? all : [set];
  const places: PointPlace[] = [];
  for (const name of sets) {
    for (const id of await pointIds(store, name)) places.push({ set: name, id });
  }
  const { points, damaged } = await readPlaces(store, places, keys);
  return { points: oldestFirst(points), damaged };
}

/** The points of one machine, in the order of publication. Damaged ones may belong to another machine. */
export async function pointsOfMachine(
  store: Store,
  { set, machine }: { readonly set: string; readonly machine: string },
  keys?: DomainKeys,
): Promise<PointList> {
  const ids = (await pointIds(store, set)).filter((id) => mayBeOf(id, machine));
  const places = ids.map((id) => ({ set, id }));
  const { points, damaged } = await readPlaces(store, places, keys);
  const own = points.filter((point) => point.machine === machine);
  return { points: own.toSorted(byPublication), damaged };
}

/** For unreadable records: a foreign ID may belong to any machine with whose name it begins. */
export function mayBeOf(id: string, machine: string): boolean {
  const owner = machineOf(id);
  return owner === undefined ? id.startsWith(`${machine}-`) : owner === machine;
}

/** Reads the records in the order of the places. */
export async function readPlaces(
  store: Store,
  places: readonly PointPlace[],
  keys?: DomainKeys,
): Promise<PointList> {
  const points: PointRecord[] = [];
  const damaged: DamagedPoint[] = [];
  for (const { set, id } of places) {
    const place = { set, id };
    try {
      points.push(await readPlace(store, place, keys?.record));
    } catch (cause) {
      // It was forgotten after it was listed.
      if (cause instanceof SystemError && cause.code === 'NOT_FOUND') continue;
      if (!(cause instanceof CatalogError)) throw cause;
      damaged.push({ ...place, path: pointPath(store, place), reason: cause.message });
    }
  }
  return { points, damaged };
}

export interface PageRequest {
  readonly set: string | undefined;
  readonly machine: string | undefined;
  /** A text that the ID contains. */
  readonly contains: string | undefined;
  /** The number of newer ones to skip. */
  readonly first: number;
  readonly count: number;
}

/**
 * Some recovery points, newest first by the time in their IDs, and their total number: only the records on the page
 * are read, so that people can page through any number.
 */
export async function pageOfPoints(
  store: Store,
  names: PointNames,
  { set, machine, contains = '', first, count }: PageRequest,
): Promise<PointList & { readonly total: number }> {
  const found = (await names.newestFirst(set)).filter(({ id }) => {
    if (machine !== undefined && id.slice(0, Math.max(0, id.length - ID_TAIL_LENGTH)) !== machine) {
      return false;
    }
    return contains === '' || id.includes(contains);
  });
  const page = found.slice(first, first + count);
  return { ...(await readPlaces(store, page)), total: found.length };
}

/** The point itself, authentic. Rejects NOT_FOUND, CORRUPT. */
export async function readPoint(store: Store, set: OpenSet, id: string): Promise<PointRecord> {
  const place = { set: set.name, id };
  if (await pointExists(store, place)) {
    return readPlace(store, place, set.keys.record);
  }
  throw new CatalogError('NOT_FOUND', `set "${set.name}" has no recovery point "${id}"`);
}

/** The point's record as it was written, authentic. Rejects NOT_FOUND, CORRUPT. */
export async function pointRecordBytes(
  store: Store,
  set: OpenSet,
  id: string,
): Promise<Uint8Array> {
  const { files } = store;
  const place = { set: set.name, id };
  try {
    return await readRecord(
      { files, store },
      pointPath(store, place),
      RECORD_LENGTH_MAX,
      (bytes) => {
        checkPlace(decodePoint(bytes, set.keys.record, store.checks()), place);
        return bytes;
      },
    );
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NOT_FOUND') throw cause;
    throw new CatalogError('NOT_FOUND', `${id} was forgotten in the meantime`, { cause });
  }
}

/**
 * Finds a point by ID, by a unique beginning of one, or by "MACHINE@latest"; each may begin with "SET/". Rejects
 * NOT_FOUND, AMBIGUOUS.
 */
export async function findPoint(store: Store, query: string): Promise<PointPlace> {
  const [, set, rest = ''] = /^(?:([^/]+)\/)?(.*)$/s.exec(query)!;
  const sets = await setNames(store);
  if (set !== undefined && !sets.includes(set)) {
    throw noSet(store, set, sets);
  }
  const searched = set === undefined ? sets : [set];
  const machine = /^(.*)@latest$/s.exec(rest)?.[1];
  if (machine !== undefined) return latest(store, searched, machine);
  const found: PointPlace[] = [];
  for (const name of searched) {
    for (const id of await pointIds(store, name)) {
      if (id === rest) return { set: name, id };
      if (rest !== '' && id.startsWith(rest)) found.push({ set: name, id });
    }
  }
  if (found.length === 1) return found[0]!;
  if (found.length === 0) {
    throw new CatalogError('NOT_FOUND', `no recovery point "${query}": see "backup list"`);
  }
  const some = found.slice(0, 5).map(({ id }) => id);
  throw new CatalogError('AMBIGUOUS', `"${query}" matches several: ${some.join(', ')}`);
}

async function latest(store: Store, sets: readonly string[], machine: string): Promise<PointPlace> {
  const found: PointRecord[] = [];
  for (const set of sets) {
    const { points, damaged } = await pointsOfMachine(store, { set, machine });
    if (damaged[0]) {
      const advice = 'it may have been the latest: give the ID of the recovery point that you want';
      throw new CatalogError('CORRUPT', `${damaged[0].reason}; ${advice}`);
    }
    const newest = points.at(-1);
    if (newest) found.push(newest);
  }
  if (found.length > 1) {
    const names = found.map(({ set }) => `${set}/${machine}@latest`);
    throw new CatalogError(
      'AMBIGUOUS',
      `several sets have a machine "${machine}": ${names.join(', ')}`,
    );
  }
  if (!found[0]) {
    throw new CatalogError(
      'NOT_FOUND',
      `there is no recovery point of a machine "${machine}": see "backup list"`,
    );
  }
  return found[0];
}

async function readPlace(
  store: Store,
  place: PointPlace,
  key: Uint8Array | undefined,
): Promise<PointRecord> {
  const { files } = store;
  const point = await readPointRecord(files, store, pointPath(store, place), key);
  checkPlace(point, place);
  return point;
}

/** The point by the copy of its record, not authenticated; undefined: none can be read, whatever the reason. */
export async function readCopy(store: Store, place: PointPlace): Promise<PointRecord | undefined> {
  const path = recordCopyPath(store, pointPath(store, place));
  try {
    const point = await readPointRecord(store.files, store, path, undefined);
    checkPlace(point, place);
    return point;
  } catch (cause) {
    if (!(cause instanceof CatalogError) && !(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}

/** Reads a point's file, regardless of its name. Rejects NOT_FOUND, CatalogError. */
export async function readPointRecord(
  files: FileSystem,
  store: Store,
  path: string,
  key: Uint8Array | undefined,
): Promise<PointRecord> {
  return readRecord({ files, store }, path, RECORD_LENGTH_MAX, (bytes) =>
    decodePoint(bytes, key, store.checks()),
  );
}

/**
 * The record as it will be read: once it has the name of a recovery point, one that cannot be read would be a lost
 * backup, and stop those that come after it. Throws CORRUPT.
 */
export function readWritten(store: Store, { name, keys }: OpenSet, bytes: Uint8Array): PointRecord {
  try {
    if (bytes.length > RECORD_LENGTH_MAX) {
      throw new FormatError('CORRUPT', `${bytes.length} bytes, more than ${RECORD_LENGTH_MAX}`);
    }
    return decodePoint(bytes, keys.record, store.checks());
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const what = 'no recovery point was made, since its record could not be read';
    throw new CatalogError('CORRUPT', `set "${name}": ${what}: ${cause.message}`, { cause });
  }
}

/** A record copied to another name would look like another point with the same contents. */
function checkPlace(point: PointRecord, { set, id }: PointPlace): void {
  if (point.id === id && point.set === set) return;
  throw new CatalogError('CORRUPT', `the record of ${set}/${id} says ${point.set}/${point.id}`);
}
