import { join } from 'node:path/posix';
import { ClassicLevel } from 'classic-level';
import type { Store } from '../directory/store.ts';
import { asking, indexError } from './block-index.ts';

/**
 * A map on the disk of the store that exists only while it is open: for more entries than memory has room for. One at
 * a time: its owner holds the store's lock.
 */
export interface ScratchMap extends AsyncDisposable {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): Promise<void>;
}

/** LevelDB's own memory. */
const CACHE_LENGTH = 8 * 1024 * 1024;
const WRITE_BUFFER_LENGTH = 4 * 1024 * 1024;

/** Removes what a killed process left of an earlier one. */
export async function openScratchMap(
  { files, directory }: Store,
  name: string,
): Promise<ScratchMap> {
  const path = join(directory, name);
  await files.removeTree(path);
  await files.makeDirectory(path);
  const level = new ClassicLevel<Uint8Array, Uint8Array>(path, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    compression: false,
    cacheSize: CACHE_LENGTH,
    writeBufferSize: WRITE_BUFFER_LENGTH,
  });
  await asking(() => level.open());
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
