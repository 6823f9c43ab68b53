import { join } from 'node:path/posix';
import { decodeSetLock, encodeSetLock } from '../../formats/store/catalog/marks.ts';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { CatalogError } from '../catalog-error.ts';
import { readRecord } from '../read-record.ts';
import { setDirectory } from '../set-copies.ts';
import type { OpenSet } from '../sets.ts';

/* For how long each new recovery point of a set is locked. Grammar: formats/store/catalog/marks.md. */

const DAY_MS = 24 * 60 * 60_000;
const RECORD_LENGTH_MAX = 4096;

export function setLockPath(store: Store, set: string): string {
  return join(setDirectory(store, set), 'set.lock');
}

/** For how many days new points of a set are locked. Rejects CORRUPT. */
export async function lockDays(store: Store, set: string, key?: Uint8Array): Promise<number> {
  const { files } = store;
  const path = setLockPath(store, set);
  if (!(await files.stat(path))) return 0;
  const record = await readRecord({ files, store }, path, RECORD_LENGTH_MAX, (bytes) =>
    decodeSetLock(bytes, key),
  );
  if (record.set === set) return record.days;
  throw new CatalogError('CORRUPT', `${path}: it is the lock of set "${record.set}"`);
}

export async function putLockDays(store: Store, set: OpenSet, days: number): Promise<void> {
  const path = setLockPath(store, set.name);
  await putDurably(store.files, path, encodeSetLock({ set: set.name, days }, set.keys.record));
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
  return (await store.files.stat(setLockPath(store, set))) !== undefined;
}
