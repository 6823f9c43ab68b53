import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { endsWithSum } from '../formats/store/base/json-record.ts';
import {
  decodePoint,
  encodePoint,
  linkTo,
  type PointLink,
  type PointRecord,
} from '../formats/store/catalog/point.ts';
import { decodeProfile, encodeProfile } from '../formats/store/catalog/profile.ts';
import { sealSet } from '../formats/store/catalog/set-record.ts';
import type { Store } from '../store/directory/store.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { usableHead, writeHead } from './point-chain.ts';
import { byPublication } from './publication-order.ts';
import { mendSetRecord, setDirectory } from './set-copies.ts';
import type { OpenSet } from './sets.ts';
import { pointsDirectory } from './point-places.ts';

/*
 * For `checked-records` and `point-chain`: adds the missing parts to the records of a set of an earlier release. May
 * be interrupted, and repeated. Damaged records stay as they are.
 */
const LENGTH_MAX = 8 * 1024 * 1024;

/** Whether a record must be rewritten, for which the set's key is needed. */
export async function isOutdated(store: Store, set: string): Promise<boolean> {
  for (const path of await profilePaths(store, set)) {
    if (!endsWithSum(await store.files.readFile(path, LENGTH_MAX))) return true;
  }
  for (const [machine, points] of await pointsByMachine(store, set, undefined)) {
    let previous: PointLink | undefined;
    for (const { record, bytes } of points) {
      if (!endsWithSum(bytes) || !isSame(record.previous, previous)) return true;
      previous = linkTo(record, bytes);
    }
    const head = await usableHead(store, { set, machine }, undefined);
    if (!isSame(head?.point, previous)) return true;
  }
  return false;
}

/** The caller holds the store's lock. */
export async function upgradeSet(store: Store, set: OpenSet): Promise<void> {
  const { files } = store;
  const key = set.keys.record;
  const { record } = set;
  await mendSetRecord(store, {
    ...set,
    record: record.seal ? record : sealSet(record, 1, key),
  });
  for (const path of await profilePaths(store, set.name)) {
    const bytes = await files.readFile(path, LENGTH_MAX);
    const profile = readable(() => decodeProfile(bytes, key));
    if (profile && !endsWithSum(bytes)) await putDurably(files, path, encodeProfile(profile, key));
  }
  for (const [machine, points] of await pointsByMachine(store, set.name, key)) {
    let previous: PointLink | undefined;
    const live: PointLink[] = [];
    for (const { path, record, bytes } of points) {
      const again = encodePoint({ ...record, previous }, key);
      if (Buffer.compare(again, bytes) !== 0) await putDurably(files, path, again);
      previous = linkTo(record, again);
      if (path.endsWith('.point')) live.push(previous);
    }
    await writeHead(store, set, { machine, point: previous, points: live });
  }
}

interface FoundPoint {
  readonly path: string;
  readonly record: PointRecord;
  readonly bytes: Uint8Array;
}

/** The points of each machine in the order of their publication, including the forgotten ones. */
async function pointsByMachine(
  store: Store,
  set: string,
  key: Uint8Array | undefined,
): Promise<Map<string, FoundPoint[]>> {
  const { files } = store;
  const directory = pointsDirectory(store, set);
  const found: FoundPoint[] = [];
  for (const name of await files.list(directory)) {
    if (!/\.(point|forgotten)$/.test(name)) continue;
    const path = join(directory, name);
    const bytes = await files.readFile(path, LENGTH_MAX);
    const record = readable(() => decodePoint(bytes, key));
    if (record) found.push({ path, record, bytes });
  }
  found.sort((a, b) => byPublication(a.record, b.record));
  return Map.groupBy(found, ({ record }) => record.machine);
}

async function profilePaths(store: Store, set: string): Promise<string[]> {
  const { files } = store;
  const directory = join(setDirectory(store, set), 'profiles');
  if (!(await files.stat(directory))) return [];
  const names = (await files.list(directory)).filter((name) => name.endsWith('.profile'));
  return names.map((name) => join(directory, name));
}

/** Undefined: the record is damaged. */
function readable<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}

function isSame(a: PointLink | undefined, b: PointLink | undefined): boolean {
  if (!a || !b) return a === b;
  return a.id === b.id && Buffer.compare(a.digest, b.digest) === 0;
}
