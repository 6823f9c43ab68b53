import { join } from 'node:path/posix';
import { endsWithSum } from '../formats/store/json-record.ts';
import { decodePoint, encodePoint } from '../formats/store/point.ts';
import { decodeProfile, encodeProfile } from '../formats/store/profile.ts';
import { FormatError } from '../formats/format-error.ts';
import type { Store } from '../store/store.ts';
import { putDurably } from '../sys/put-durably.ts';
import type { World } from '../sys/world.ts';
import { pointsDirectory } from './points.ts';
import { type OpenSet, setDirectory } from './sets.ts';

/*
 * For `checked-records`: gives the records of a set of an earlier release the checksum that they lack. May be
 * interrupted, and repeated.
 */
const LENGTH_MAX = 8 * 1024 * 1024;

/** Whether something has to be written again, for which the set's key is needed. */
export async function lacksChecksums(world: World, store: Store, set: string): Promise<boolean> {
  for (const path of await recordPaths(world, store, set)) {
    if (!endsWithSum(await world.files.readFile(path, LENGTH_MAX))) return true;
  }
  return false;
}

/** The caller holds the store's lock. What is damaged stays as it is. */
export async function addChecksums(world: World, store: Store, set: OpenSet): Promise<void> {
  const { files } = world;
  const key = set.keys.record;
  for (const path of await recordPaths(world, store, set.name)) {
    const bytes = await files.readFile(path, LENGTH_MAX);
    if (endsWithSum(bytes)) continue;
    try {
      const again = path.endsWith('.profile')
        ? encodeProfile(decodeProfile(bytes, key), key)
        : encodePoint(decodePoint(bytes, key), key);
      await putDurably(files, path, again);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
    }
  }
}

async function recordPaths({ files }: World, store: Store, set: string): Promise<string[]> {
  const profiles = join(setDirectory(store, set), 'profiles');
  const found: string[] = [];
  for (const directory of [pointsDirectory(store, set), profiles]) {
    if (!(await files.stat(directory))) continue;
    for (const name of await files.list(directory)) {
      if (/\.(point|forgotten|profile)$/.test(name)) found.push(join(directory, name));
    }
  }
  return found;
}
