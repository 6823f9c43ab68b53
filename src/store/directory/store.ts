import { join } from 'node:path/posix';
import { type SharedSpace, sharedSpace } from '../../block/space-guard.ts';
import type { Feature } from '../../formats/store/base/features.ts';
import type { Checks } from '../../formats/store/base/plain-record.ts';
import {
  featuresOf,
  newStoreRecord,
  type StoreRecord,
} from '../../formats/store/catalog/store-record.ts';
import { MiB } from '../../lib/sizes.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import type { World } from '../../sys/world.ts';
import { guardedFiles } from './guarded-files.ts';
import { packFiles } from '../packs/pack-files.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { StoreError } from '../packs/store-error.ts';
import { readStoreRecord, unknownFeature, writeStoreRecord } from './store-record.ts';

/**
 * A store on a file system: packs, and beside them the directories of other rooms (`sets`, `sessions`, `leases`). Any
 * number of processes may have it open to read; only one may write (`store-writer.ts`). It carries the world in which
 * it was opened, for all code that works on it.
 */
export interface Store extends World, AsyncDisposable {
  readonly directory: string;
  /** The most bytes that the index of blocks takes in a process that writes. */
  readonly indexMemory: number;
  readonly id: string;
  /** For all access to the directory: refuses changes that this release must not make (guarded-files.ts). */
  readonly files: FileSystem;
  readonly packs: PackStore;
  /** The free space of its disk, which sessions and backups share. */
  readonly space: SharedSpace;
  /** As last read: another process may have upgraded the store since then. */
  readonly record: StoreRecord;
  /** Whether the store has a feature: see formats/store/base/features.md. */
  has(feature: Feature): boolean;
  /** Whether its records carry checksums now. */
  checks(): Checks;
  /** Throws UNSUPPORTED if the store has a feature that writers must know and this release does not. */
  checkWritable(): void;
  /** Call it when the record was read again. */
  renew(record: StoreRecord): void;
}

/** The directories in every store. */
export const STORE_DIRECTORIES = ['packs', 'sets', 'sessions', 'leases'] as const;

/** Creates a store in a directory that is absent or empty. Rejects EXISTS. */
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
  for (const name of STORE_DIRECTORIES) await files.makeDirectory(join(directory, name));
  const id = Buffer.from(random.bytes(16)).toString('hex');
  // Written last: a directory with a record is a whole store.
  await writeStoreRecord(files, directory, newStoreRecord(id, clock.now()));
  await files.syncDirectory(join(directory, '..'));
}

export interface StoreOptions {
  readonly indexMemory?: number | undefined;
}

/** Where the settings of the service say nothing else: see docs/sizing.md. */
const INDEX_MEMORY = 128 * MiB;

/** Rejects NOT_A_STORE, UNSUPPORTED. */
export async function openStore(
  world: World,
  directory: string,
  { indexMemory = INDEX_MEMORY }: StoreOptions = {},
): Promise<Store> {
  const { files } = world;
  let { record } = await readStoreRecord(files, directory);
  refuse(directory, unknownFeature(record, 'read'), 'readers');
  const checkWritable = (): void => refuse(directory, unknownFeature(record, 'write'), 'writers');
  const guarded = guardedFiles(files, { directory, checkWritable });
  const packs = packFiles({ ...world, files: guarded }, join(directory, 'packs'), record.id);
  return {
    ...world,
    directory,
    indexMemory,
    id: record.id,
    files: guarded,
    packs,
    space: sharedSpace({ files, directory }),
    get record() {
      return record;
    },
    has: (feature) => featuresOf(record).has(feature),
    checks: () => (featuresOf(record).has('checked-records') ? 'checked' : 'unchecked'),
    checkWritable,
    renew(next) {
      record = next;
    },
    [Symbol.asyncDispose]: () => packs[Symbol.asyncDispose](),
  };
}

/** Throws UNSUPPORTED if there is an unknown feature. */
function refuse(directory: string, feature: string | undefined, whom: 'readers' | 'writers'): void {
  if (feature === undefined) return;
  const what = whom === 'readers' ? 'cannot be read' : 'can be read and recovered, not changed';
  throw new StoreError(
    'UNSUPPORTED',
    `${directory} has the feature "${feature}", which this release does not know: the store ${what}; ` +
      'install the release that wrote it, or a later one',
  );
}
