import { dirname, join } from 'node:path/posix';
import type { Box } from '../../box/box.ts';
import { passkeyPath } from '../../box/box-files.ts';
import { makeOwnDirectory } from '../../box/own-directory.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { readRecord } from '../../catalog/read-record.ts';
import { setDirectory } from '../../catalog/set-copies.ts';
import {
  decodePasskey,
  encodePasskey,
  type PasskeyRecord,
} from '../../formats/store/catalog/passkey.ts';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';

/*
 * The records by which passkeys are recognized: one in the store, for every box that gets it, and a copy on this box,
 * which an attacker who can only write to the store cannot remove. Grammar: formats/store/catalog/passkey.md.
 */
export interface PasskeyPlace {
  readonly store: Store;
  readonly box: Pick<Box, 'directory'>;
}

const LENGTH_MAX = 16 * 1024;

/** Undefined: the set has none. Rejects CORRUPT: that is not none. */
export async function readPasskey(
  place: PasskeyPlace,
  set: string,
): Promise<PasskeyRecord | undefined> {
  const { store } = place;
  for (const path of pathsOf(place, set)) {
    if (!(await store.files.stat(path))) continue;
    const record = await readRecord({ files: store.files, store }, path, LENGTH_MAX, decodePasskey);
    if (record.set === set) return record;
    throw new CatalogError('CORRUPT', `${path}: it is the passkey of set "${record.set}"`);
  }
  return undefined;
}

/** Whether there is a record, readable or not: one that cannot be read refuses recoveries as well. */
export async function hasPasskey(place: PasskeyPlace, set: string): Promise<boolean> {
  for (const path of pathsOf(place, set)) if (await place.store.files.stat(path)) return true;
  return false;
}

/** First the copy of the box: a crash between the two leaves a passkey, never none. */
export async function writePasskey(place: PasskeyPlace, record: PasskeyRecord): Promise<void> {
  const { files } = place.store;
  const [onBox, inStore] = pathsOf(place, record.set);
  await makeOwnDirectory(place.store, place.box.directory);
  await makeOwnDirectory(place.store, dirname(onBox));
  for (const path of [onBox, inStore]) await putDurably(files, path, encodePasskey(record));
}

/** Whether there was one, readable or not. */
export async function removePasskey(place: PasskeyPlace, set: string): Promise<boolean> {
  const { files } = place.store;
  const [onBox, inStore] = pathsOf(place, set);
  let found = false;
  for (const path of [inStore, onBox]) {
    if (!(await files.stat(path))) continue;
    await files.unlink(path);
    await files.syncDirectory(dirname(path));
    found = true;
  }
  return found;
}

/** The first one that is there counts. */
function pathsOf({ store, box }: PasskeyPlace, set: string): readonly [string, string] {
  return [
    passkeyPath(box, { store: store.id, set }),
    join(setDirectory(store, set), 'passkey.json'),
  ];
}
