import { join } from 'node:path/posix';
import {
  type BootProfile,
  decodeProfile,
  encodeProfile,
} from '../formats/store/catalog/profile.ts';
import type { Store } from '../store/directory/store.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { CatalogError } from './catalog-error.ts';
import { checkName } from './names.ts';
import { readRecord } from './read-record.ts';
import { setDirectory } from './set-copies.ts';
import type { OpenSet } from './sets.ts';

const RECORD_LENGTH_MAX = 8 * 1024 * 1024;

function pathOf(store: Store, set: OpenSet, machine: string): string {
  checkName(machine, 'machine');
  return join(setDirectory(store, set.name), 'profiles', `${machine}.profile`);
}

export async function saveProfile(store: Store, set: OpenSet, profile: BootProfile): Promise<void> {
  const { files } = store;
  const bytes = encodeProfile(profile, set.keys.record);
  await putDurably(files, pathOf(store, set, profile.machine), bytes);
}

/** A profile only makes a start quicker: a damaged one counts as missing. */
export async function loadProfile(
  store: Store,
  set: OpenSet,
  machine: string,
): Promise<BootProfile | undefined> {
  const { files } = store;
  const path = pathOf(store, set, machine);
  if (!(await files.stat(path))) return undefined;
  try {
    return await readRecord({ files, store }, path, RECORD_LENGTH_MAX, (bytes) =>
      decodeProfile(bytes, set.keys.record),
    );
  } catch (cause) {
    if (cause instanceof CatalogError) return undefined;
    throw cause;
  }
}
