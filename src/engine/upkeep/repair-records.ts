import { join } from 'node:path/posix';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { readHead } from '../../catalog/point-chain.ts';
import { pointsDirectory, SUFFIX } from '../../catalog/point-places.ts';
import { pointPath, readPlaces } from '../../catalog/points.ts';
import { FORGOTTEN } from '../../catalog/publication.ts';
import {
  mendSetRecord,
  readCopies,
  setDirectory,
  writeSetRecord,
} from '../../catalog/set-copies.ts';
import { finishRemovals, isRemoved, removedSets } from '../../catalog/removal/removed-sets.ts';
import { type OpenSet, setNames } from '../../catalog/sets.ts';
import { FormatError } from '../../formats/format-error.ts';
import { isName } from '../../formats/store/base/names.ts';
import { decodePoint, type PointRecord } from '../../formats/store/catalog/point.ts';
import type { RemovedSet } from '../../formats/store/catalog/removed-sets.ts';
import { decodeSet, isSealedBy, type SetRecord } from '../../formats/store/catalog/set-record.ts';
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
  /** Whether there may be copies: those of another store are left alone. */
  readonly hasCopies: boolean;
  readonly onMended: (where: string, isCopy: boolean) => void;
  readonly onLost: (where: string, what: string) => void;
  /** The disk of copies refuses something. */
  readonly onCopyFailed: (what: string) => void;
}

const LENGTH_MAX = 16 * 1024 * 1024;

/** Without any key: a record that cannot be read hides the keys themselves. */
export async function repairSets(store: Store, repair: RecordRepair): Promise<void> {
  const removed = await knownRemovals(store, repair);
  const copied = (await copiesIn(store, join(store.directory, 'sets'), repair)).filter(isName);
  for (const name of new Set([...(await setNames(store)), ...copied])) {
    await repairSet(store, name, { ...repair, removed });
  }
}

/** Undefined: it is not known which sets were removed. */
async function knownRemovals(
  store: Store,
  { changed, onLost }: RecordRepair,
): Promise<readonly RemovedSet[] | undefined> {
  try {
    if (changed !== 'none') await finishRemovals(store);
    return await removedSets(store);
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    onLost(store.directory, cause.message);
    return undefined;
  }
}

async function repairSet(
  store: Store,
  name: string,
  repair: RecordRepair & { readonly removed: readonly RemovedSet[] | undefined },
): Promise<void> {
  const { changed, onMended, onLost } = repair;
  const path = setPath(store, name);
  const { record, problems } = await readCopies(store, name);
  const [first] = problems;
  const named = (bytes: Uint8Array): SetRecord | undefined => {
    const found = decodeSet(bytes);
    return found.name === name ? found : undefined;
  };
  const copy = repair.hasCopies
    ? await decoded(store, recordCopyPath(store, path), named)
    : undefined;
  // The set was removed while the disk with this copy was away.
  const isHere = (await store.files.stat(setDirectory(store, name))) !== undefined;
  if (!isHere && copy && isRemoved(repair.removed ?? [], copy.value)) return;
  if (record && !first) {
    // A copy that differs is for the key to judge: `mendOpenSet`.
    if (!copy) await writeCopy(store, path, await store.files.readFile(path, LENGTH_MAX), repair);
    return;
  }
  // Two that differ are for the key to judge: `mendOpenSet`.
  if (record) {
    const other = await decoded(store, first!.path, named);
    if (!other) await write(record);
    return;
  }
  if (first?.reason.includes('differ')) return;
  if (copy && !isHere && !repair.removed) {
    onLost(path, 'it has a copy, but it is not known whether the set was removed');
  } else if (copy) await write(copy.value);
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
export async function mendOpenSet(store: Store, set: OpenSet, repair: RecordRepair): Promise<void> {
  const { changed, hasCopies, onMended, onLost } = repair;
  const { problems } = await readCopies(store, set.name);
  if (changed === 'all' && problems.length > 0) await mendSetRecord(store, set);
  if (changed !== 'copies') for (const { path } of problems) onMended(path, false);
  const path = setPath(store, set.name);
  const copyPath = recordCopyPath(store, path);
  const copy = hasCopies ? await decoded(store, copyPath, decodeSet) : undefined;
  const isThere = (await readCopies(store, set.name)).problems.length === 0;
  if (!copy || !isThere) return;
  const bytes = await store.files.readFile(path, LENGTH_MAX);
  if (Buffer.compare(copy.bytes, bytes) === 0) return;
  const isNewer = counterOf(copy.value) > counterOf(decodeSet(bytes));
  if (isNewer && isSealedBy(copy.value, set.keys.record)) {
    onLost(path, `it is older than its copy ${copyPath}: passphrases may have changed since then`);
  } else await writeCopy(store, path, bytes, repair);
}

const counterOf = ({ seal }: SetRecord): number => seal?.counter ?? 0;

const setPath = (store: Store, name: string): string => join(setDirectory(store, name), 'set.json');

/** Names of what is copied, none where the disk of copies fails. */
async function copiesIn(
  store: Store,
  directory: string,
  { hasCopies, onCopyFailed }: RecordRepair,
): Promise<string[]> {
  try {
    return hasCopies ? await copiedNames(store, directory) : [];
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    onCopyFailed(cause.message);
    return [];
  }
}

async function writeCopy(
  store: Store,
  path: string,
  bytes: Uint8Array,
  { changed, hasCopies, onMended, onCopyFailed }: RecordRepair,
): Promise<void> {
  if (!hasCopies) return;
  const failure = changed === 'none' ? undefined : await copyRecord(store, path, bytes);
  if (failure === undefined) onMended(recordCopyPath(store, path), true);
  else onCopyFailed(failure);
}

/** With the keys of the set the records are authenticated. */
export async function repairPoints(
  store: Store,
  name: string,
  open: OpenSet | undefined,
  repair: RecordRepair,
): Promise<void> {
  const { changed, hasCopies, onMended, onLost } = repair;
  const directory = pointsDirectory(store, name);
  const key = open?.keys.record;
  const isThere = (await store.files.stat(directory)) !== undefined;
  const there = new Set(isThere ? await store.files.list(directory) : []);
  const names = new Set([...there, ...(await copiesIn(store, directory, repair))]);
  for (const file of [...names].sort()) {
    if (!file.endsWith(SUFFIX)) continue;
    const id = file.slice(0, -SUFFIX.length);
    const path = pointPath(store, { set: name, id });
    const copyPath = recordCopyPath(store, path);
    const named = (bytes: Uint8Array): PointRecord | undefined => {
      const point = decodePoint(bytes, key, store.checks());
      return point.id === id && point.set === name ? point : undefined;
    };
    const copy = hasCopies ? await decoded(store, copyPath, named) : undefined;
    const { points, damaged } = await readPlaces(store, [{ set: name, id }], open?.keys);
    if (points.length > 0) {
      const bytes = await store.files.readFile(path, LENGTH_MAX);
      const isSame = copy && Buffer.compare(copy.bytes, bytes) === 0;
      // Without the key it is not known which of two that differ is authentic.
      if (!isSame && (!copy || key)) await writeCopy(store, path, bytes, repair);
    } else if (damaged.length > 0) {
      if (copy) await putBack(path, copy.bytes);
      else onLost(path, damaged[0]!.reason);
    } else if (copy) {
      // Only a tombstone proves that the point was forgotten: a head that was written again names only what was there.
      if (there.has(id + FORGOTTEN)) {
        if (changed === 'all') await dropRecordCopy(store, path);
      } else if (await isMissed(store, copy.value, key)) await putBack(path, copy.bytes);
      else onLost(path, notKnown(copyPath));
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

const notKnown = (copy: string): string =>
  `it is missing, with a whole copy; whether it was forgotten is not known: if not, copy ${copy} to its place ` +
  'and run "store check"; if it was, remove the copy';

/** Whether it is known that a point that is not there should be: the head of its machine names it. */
async function isMissed(
  store: Store,
  { set, machine, id }: PointRecord,
  key: Uint8Array | undefined,
): Promise<boolean> {
  if (!store.has('point-chain')) return false;
  try {
    const head = await readHead(store, { set, machine }, key);
    return head?.points.some((it) => it.id === id) ?? false;
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return false;
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
