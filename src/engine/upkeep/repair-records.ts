import { join } from 'node:path/posix';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { readHead } from '../../catalog/point-chain.ts';
import { pointsDirectory, SUFFIX } from '../../catalog/point-places.ts';
import { pointPath, readPlaces } from '../../catalog/points.ts';
import {
  mendSetRecord,
  readCopies,
  setDirectory,
  writeSetRecord,
} from '../../catalog/set-copies.ts';
import { type OpenSet, setNames } from '../../catalog/sets.ts';
import { FormatError } from '../../formats/format-error.ts';
import { isName } from '../../formats/store/base/names.ts';
import { decodePoint, type PointRecord } from '../../formats/store/catalog/point.ts';
import { decodeSet, type SetRecord } from '../../formats/store/catalog/set-record.ts';
import type { Store } from '../../store/directory/store.ts';
import {
  copiedNames,
  copyRecord,
  dropRecordCopy,
  recordCopyPath,
} from '../../store/directory/record-copies.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/*
 * Records of sets and recovery points that are damaged or missing are put back from their copies, and copies from
 * them. A recovery point that was forgotten stays forgotten. The caller holds the store's lock, unless nothing is
 * `changed`.
 */
export interface RecordRepair {
  /** Which files may be written: all; only copies; none, to find out what would be done. */
  readonly changed: 'all' | 'copies' | 'none';
  readonly onMended: (where: string, isCopy: boolean) => void;
  readonly onLost: (where: string, what: string) => void;
}

const LENGTH_MAX = 16 * 1024 * 1024;

/** Without any key: a record that cannot be read hides the keys themselves. */
export async function repairSets(store: Store, repair: RecordRepair): Promise<void> {
  const copied = (await copiedNames(store, join(store.directory, 'sets'))).filter(isName);
  for (const name of new Set([...(await setNames(store)), ...copied])) {
    await repairSet(store, name, repair);
  }
}

async function repairSet(store: Store, name: string, repair: RecordRepair): Promise<void> {
  const { changed, onMended, onLost } = repair;
  const path = join(setDirectory(store, name), 'set.json');
  const { record, problems } = await readCopies(store, name);
  const [first] = problems;
  const named = (bytes: Uint8Array): SetRecord | undefined => {
    const found = decodeSet(bytes);
    return found.name === name ? found : undefined;
  };
  const copy = await decoded(store, recordCopyPath(store, path), named);
  if (record && !first) {
    const bytes = await store.files.readFile(path, LENGTH_MAX);
    if (copy && Buffer.compare(copy.bytes, bytes) === 0) return;
    if (changed !== 'none') await copyRecord(store, path, bytes);
    onMended(recordCopyPath(store, path), true);
    return;
  }
  // Two that differ are for the key to judge: `mendOpenSet`.
  if (record) {
    const other = await decoded(store, first!.path, named);
    if (!other) await write(record);
    return;
  }
  if (first?.reason.includes('differ')) return;
  if (copy) await write(copy.value);
  else onLost(path, first?.reason ?? 'both copies of the record are missing');

  async function write(good: SetRecord): Promise<void> {
    if (changed === 'copies') return;
    if (changed === 'all') {
      await store.files.makeDirectory(setDirectory(store, name));
      await writeSetRecord(store, good);
    }
    onMended(first?.path ?? path, false);
  }
}

/** The newer authentic one of two different copies counts. */
export async function mendOpenSet(
  store: Store,
  set: OpenSet,
  { changed, onMended }: RecordRepair,
): Promise<void> {
  const { problems } = await readCopies(store, set.name);
  if (changed === 'all' && problems.length > 0) await mendSetRecord(store, set);
  if (changed !== 'copies') for (const { path } of problems) onMended(path, false);
}

/** With the keys of the set the records are authenticated. */
export async function repairPoints(
  store: Store,
  name: string,
  open: OpenSet | undefined,
  { changed, onMended, onLost }: RecordRepair,
): Promise<void> {
  const directory = pointsDirectory(store, name);
  const key = open?.keys.record;
  const isThere = (await store.files.stat(directory)) !== undefined;
  const there = new Set(isThere ? await store.files.list(directory) : []);
  const names = new Set([...there, ...(await copiedNames(store, directory))]);
  for (const file of [...names].sort()) {
    if (!file.endsWith(SUFFIX)) continue;
    const id = file.slice(0, -SUFFIX.length);
    const path = pointPath(store, { set: name, id });
    const copyPath = recordCopyPath(store, path);
    const copy = await decoded(store, copyPath, (bytes) => {
      const point = decodePoint(bytes, key, store.checks());
      return point.id === id && point.set === name ? point : undefined;
    });
    const { points, damaged } = await readPlaces(store, [{ set: name, id }], open?.keys);
    if (points.length > 0) {
      const bytes = await store.files.readFile(path, LENGTH_MAX);
      if (copy && Buffer.compare(copy.bytes, bytes) === 0) continue;
      if (changed !== 'none') await copyRecord(store, path, bytes);
      onMended(copyPath, true);
    } else if (damaged.length > 0) {
      if (copy) await putBack(path, copy.bytes);
      else onLost(path, damaged[0]!.reason);
    } else if (copy) {
      const whether = there.has(`${id}.forgotten`) ? 'no' : await isMissed(store, copy.value, key);
      if (whether === 'yes') await putBack(path, copy.bytes);
      else if (whether === 'no' && changed !== 'none') await dropRecordCopy(store, path);
    }
  }
  async function putBack(path: string, bytes: Uint8Array): Promise<void> {
    if (changed === 'copies') return;
    if (changed === 'all') {
      await store.files.makeDirectory(directory);
      await putDurably(store.files, path, bytes);
    }
    onMended(path, false);
  }
}

/** Whether a point that is not there should be: the head of its machine names it. */
async function isMissed(
  store: Store,
  { set, machine, id }: PointRecord,
  key: Uint8Array | undefined,
): Promise<'yes' | 'no' | 'not known'> {
  if (!store.has('point-chain')) return 'not known';
  try {
    const head = await readHead(store, { set, machine }, key);
    if (!head) return 'not known';
    return head.points.some((it) => it.id === id) ? 'yes' : 'no';
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return 'not known';
  }
}

/** Undefined: there is none, or it is damaged. */
async function decoded<T>(
  store: Store,
  path: string,
  decode: (bytes: Uint8Array) => T | undefined,
): Promise<{ readonly bytes: Uint8Array; readonly value: T } | undefined> {
  try {
    if (!(await store.files.stat(path))) return undefined;
    const bytes = await store.files.readFile(path, LENGTH_MAX);
    const value = decode(bytes);
    return value === undefined ? undefined : { bytes, value };
  } catch (cause) {
    if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}
