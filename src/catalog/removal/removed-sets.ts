import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import {
  decodeRemovedSets,
  encodeRemovedSets,
  REMOVED_SETS_LENGTH_MAX,
  type RemovedSet,
} from '../../formats/store/catalog/removed-sets.ts';
import { decodeSet, type SetRecord } from '../../formats/store/catalog/set-record.ts';
import { recordCopyPath } from '../../store/directory/record-copies.ts';
import type { Store } from '../../store/directory/store.ts';
import { copiesOwner } from '../../store/packs/copies-owner.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { readRecord } from '../read-record.ts';
import { readCopies, setDirectory } from '../set-copies.ts';

/*
 * A set is removed by the rename of its directory: before it the set is whole, after it the set is gone, and what is
 * left are files that the next removal, sweep or repair takes away. `removed-sets.json`, which is written before, says
 * that it was removed and not lost: its copy on another disk does not bring it back, and a sweep, which needs no key,
 * gives back what no other set needs.
 */

const GONE = '.removed-';
const RECORD_LENGTH_MAX = 64 * 1024;

const removedPath = (store: Store): string => join(store.directory, 'removed-sets.json');

/** Rejects CORRUPT. */
export async function removedSets(store: Store): Promise<readonly RemovedSet[]> {
  const { files } = store;
  const path = removedPath(store);
  if (!(await files.stat(path))) return [];
  return readRecord({ files, store }, path, REMOVED_SETS_LENGTH_MAX, decodeRemovedSets);
}

/** Whether it is the record of a set that was removed, not of a later one of its name. */
export function isRemoved(
  removed: readonly RemovedSet[],
  { name, created, domain }: SetRecord,
): boolean {
  return removed.some(
    (it) => it.name === name && it.created === created && Buffer.compare(it.domain, domain) === 0,
  );
}

/** The caller holds the store's lock and the turn of leases, and has found that nothing needs the set. */
export async function takeSetAway(store: Store, record: SetRecord): Promise<void> {
  const { files, clock, packs, random } = store;
  const { name, created, domain } = record;
  const before = (await removedSets(store)).filter((it) => !isRemoved([it], record));
  const removed = clock.now().toISOString();
  const lastPack = Math.max(0, ...(await packs.list()));
  const now = [...before, { name, created, domain, removed, lastPack }];
  await putDurably(files, removedPath(store), encodeRemovedSets(now));
  const sets = join(store.directory, 'sets');
  const tail = Buffer.from(random.bytes(6)).toString('hex');
  await files.rename(setDirectory(store, name), join(sets, `${GONE}${name}-${tail}`));
  await files.syncDirectory(sets);
}

/** Takes away what is left of removed sets. The caller holds the store's lock. */
export async function finishRemovals(store: Store): Promise<void> {
  const { files } = store;
  const sets = join(store.directory, 'sets');
  const gone = (await files.list(sets)).filter((name) => name.startsWith(GONE));
  for (const name of gone) await files.removeTree(join(sets, name));
  if (gone.length > 0) await files.syncDirectory(sets);
  const removed = await removedSets(store);
  if (removed.length === 0) return;
  const back: RemovedSet[] = [];
  for (const it of removed) {
    const { record } = await readCopies(store, it.name);
    // A crash before the rename; or the set was put back, or imported again.
    if (record && isRemoved([it], record)) back.push(it);
    // If the record in the directory is damaged, the copy may be the only one that can be read.
    else if (!(await files.stat(setDirectory(store, it.name)))) await dropCopies(store, it);
  }
  if (back.length === 0) return;
  const left = removed.filter((it) => !back.includes(it));
  await putDurably(files, removedPath(store), encodeRemovedSets(left));
}

/** Never rejects for the medium: another disk may be mounted at `copies`. */
async function dropCopies(store: Store, removed: RemovedSet): Promise<void> {
  const { files } = store;
  const directory = recordCopyPath(store, setDirectory(store, removed.name));
  const path = join(directory, 'set.json');
  try {
    if (!(await files.stat(path))) return;
    const owner = await copiesOwner(files, store.directory, store.id);
    const record = decodeSet(await files.readFile(path, RECORD_LENGTH_MAX));
    if (owner === 'other' || !isRemoved([removed], record)) return;
    // The record last: as long as it is there, it says whose copies these are.
    await files.removeTree(join(directory, 'points'));
    await files.removeTree(directory);
  } catch (cause) {
    if (!(cause instanceof SystemError) && !(cause instanceof FormatError)) throw cause;
  }
}
