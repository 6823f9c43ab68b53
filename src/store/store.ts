import { join } from 'node:path/posix';
import { putDurably } from '../sys/put-durably.ts';
import type { World } from '../sys/world.ts';
import { type PackFiles, packFiles } from './pack-files.ts';
import { StoreError } from './store-error.ts';
import {
  newStoreRecord,
  readStoreRecord,
  STORE_RECORD,
  STORE_RECORD_COPY,
} from './store-record.ts';

/**
 * A store on a file system: packs, and beside them what other rooms keep there (`sets`, `sessions`,
 * `leases`).
 * Any number of processes may have it open to read; only one may write (`store-writer.ts`).
 */
export interface Store extends AsyncDisposable {
  readonly directory: string;
  readonly id: string;
  readonly packs: PackFiles;
}

const DIRECTORIES = ['packs', 'sets', 'sessions', 'leases'] as const;

/** The directory must be absent or empty. Rejects EXISTS. */
export async function createStore(world: World, directory: string): Promise<void> {
  const { files, random, clock } = world;
  const status = await files.stat(directory);
  if (status && status.kind !== 'directory') {
    throw new StoreError('EXISTS', `${directory} is not a directory`);
  }
  if (status && (await files.list(directory)).length > 0) {
    throw new StoreError(
      'EXISTS',
      `${directory} is not empty: a store needs a directory of its own`,
    );
  }
  for (const name of DIRECTORIES) await files.makeDirectory(join(directory, name));
  const bytes = newStoreRecord(Buffer.from(random.bytes(16)).toString('hex'), clock.now());
  // Written last: a directory with a record is a whole store.
  await putDurably(files, join(directory, STORE_RECORD), bytes);
  await putDurably(files, join(directory, STORE_RECORD_COPY), bytes);
  await files.syncDirectory(join(directory, '..'));
}

/** Rejects NOT_A_STORE, UNSUPPORTED. */
export async function openStore({ files }: World, directory: string): Promise<Store> {
  const { record } = await readStoreRecord(files, directory);
  const packs = packFiles(files, join(directory, 'packs'));
  return {
    directory,
    id: record.id,
    packs,
    [Symbol.asyncDispose]: () => packs[Symbol.asyncDispose](),
  };
}
