import { join } from 'node:path/posix';
import { decodeSetLock, encodeSetLock } from '../../formats/store/catalog/marks.ts';
import type { Store } from '../../store/directory/store.ts';
import { CatalogError } from '../catalog-error.ts';
import { type RecordProblem, setDirectory } from '../set-copies.ts';
import type { OpenSet } from '../sets.ts';
import { putTwice, readTwice, type TwoPaths } from './two-copies.ts';

/* For how long each new recovery point of a set is locked, twice. Grammar: formats/store/catalog/marks.md. */

const DAY_MS = 24 * 60 * 60_000;
const RECORD_LENGTH_MAX = 4096;

/** Its place, and that of its second copy. */
export function setLockPaths(store: Store, set: string): TwoPaths {
  const path = join(setDirectory(store, set), 'set.lock');
  return [path, `${path}.copy`];
}

/** For how many days new points of a set are locked. Rejects CORRUPT. */
export async function lockDays(store: Store, set: string, key?: Uint8Array): Promise<number> {
  const { found, problems } = await readBoth(store, set, key);
  if (found) return found.days;
  if (problems[0]) throw new CatalogError('CORRUPT', problems[0].reason);
  return 0;
}

/** What is damaged of it; without the key of the set it is not authenticated. */
export async function setLockDamage(
  store: Store,
  set: string,
  key: Uint8Array | undefined,
): Promise<readonly RecordProblem[]> {
  const { found, problems } = await readBoth(store, set, key);
  const advice = `"holdfast set lock ${set} --days N" writes it again`;
  const whole = found && `its other copy says ${found.days} days; `;
  return problems.map(({ path, reason }) => ({
    path,
    reason: `${reason}; ${whole ?? ''}${advice}`,
  }));
}

async function readBoth(store: Store, set: string, key: Uint8Array | undefined) {
  const paths = setLockPaths(store, set);
  const { read, problems } = await readTwice(store, paths, RECORD_LENGTH_MAX, (bytes, path) => {
    const record = decodeSetLock(bytes, key);
    if (record.set === set) return record;
    throw new CatalogError('CORRUPT', `${path}: it is the lock of set "${record.set}"`);
  });
  const [newest, older] = read;
  if (newest && older && newest.record.counter > older.record.counter) {
    problems.push({ path: older.path, reason: `${older.path}: it is older than its other copy` });
  }
  return { found: newest?.record, problems };
}

/** The caller has the turn of leases. */
export async function putLockDays(store: Store, set: OpenSet, days: number): Promise<void> {
  const { name } = set;
  const { record } = set.keys;
  const before = (await readBoth(store, name, record)).found?.counter ?? 0;
  const bytes = encodeSetLock({ set: name, counter: before + 1, days }, record);
  await putTwice(store, setLockPaths(store, name), bytes);
}

/**
 * Until when a point that is published now is locked; undefined: not at all. Where no trusted time is kept the wall
 * clock has to do. Rejects CORRUPT: see marks.md.
 */
export async function lockOfNewPoint(store: Store, set: OpenSet): Promise<string | undefined> {
  const days = await lockDaysOrAdvice(store, set);
  if (days === 0) return undefined;
  const beginMs = (await set.lockBegin?.()) ?? store.clock.now().getTime();
  return new Date(beginMs + days * DAY_MS).toISOString();
}

async function lockDaysOrAdvice(store: Store, set: OpenSet): Promise<number> {
  try {
    return await lockDays(store, set.name, set.keys.record);
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    const what = `no recovery point was created, because the lock of the set cannot be read: ${cause.message}`;
    const advice = `set it again: "holdfast set lock ${set.name} --days N"`;
    throw new CatalogError('CORRUPT', `${what}; ${advice}`, { cause });
  }
}

/** Whether points of the set were ever locked when they were published: "set lock --days 0" leaves its file. */
export async function mayHaveLocked(store: Store, set: string): Promise<boolean> {
  if (!store.has('kept-points')) return false;
  for (const path of setLockPaths(store, set)) if (await store.files.stat(path)) return true;
  return false;
}
