import { join } from 'node:path/posix';
import { MiB } from '../../lib/sizes.ts';
import type { Store } from '../directory/store.ts';
import { asking, indexError } from './block-index.ts';
import { openLevel } from './level-db.ts';

/**
 * A map on the disk of the store that exists only while it is open: for more entries than memory has room for. One at
 * a time: its owner holds the store's lock.
 */
export interface ScratchMap extends AsyncDisposable {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): Promise<void>;
}

/** LevelDB's own memory: beside the index, in the same process. */
const MEMORY = 64 * MiB;

/** Removes what a killed process left of an earlier one. */
export async function openScratchMap(
  { files, directory }: Store,
  name: string,
): Promise<ScratchMap> {
  const path = join(directory, name);
  await files.removeTree(path);
  await files.makeDirectory(path);
  const level = await asking(() => openLevel(path, { memory: MEMORY, isShared: false }));
  return {
    get(key) {
      try {
        return level.getSync(key);
      } catch (cause) {
        throw indexError(cause);
      }
    },
    put: (key, value) => asking(() => level.put(key, value)),
    async [Symbol.asyncDispose]() {
      await level.close();
      await files.removeTree(path);
    },
  };
}
