import { join } from 'node:path/posix';
import { putDurably } from '../sys/put-durably.ts';
import type { World } from '../sys/world.ts';
import { type PackFiles, packFiles } from './pack-files.ts';
import { StoreError } from './store-error.ts';

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

interface StoreRecord {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly id: string;
  readonly created: string;
}

const FORMAT = 'holdfast-store';
const VERSION = 1;
const RECORD = 'holdfast-store.json';
const RECORD_LENGTH_MAX = 64 * 1024;
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
  const record: StoreRecord = {
    format: FORMAT,
    version: VERSION,
    id: Buffer.from(random.bytes(16)).toString('hex'),
    created: clock.now().toISOString(),
  };
  // Written last: a directory with a record is a whole store.
  const bytes = Buffer.from(`${JSON.stringify(record, undefined, 2)}\n`);
  await putDurably(files, join(directory, RECORD), bytes);
  await files.syncDirectory(join(directory, '..'));
}

/** Rejects NOT_A_STORE, UNSUPPORTED. */
export async function openStore({ files }: World, directory: string): Promise<Store> {
  const path = join(directory, RECORD);
  if (!(await files.stat(path))) {
    throw new StoreError(
      'NOT_A_STORE',
      `${directory} is no Holdfast store: make one with "holdfast store create ${directory}"`,
    );
  }
  const record = parseRecord(path, await files.readFile(path, RECORD_LENGTH_MAX));
  const packs = packFiles(files, join(directory, 'packs'));
  return {
    directory,
    id: record.id,
    packs,
    [Symbol.asyncDispose]: () => packs[Symbol.asyncDispose](),
  };
}

function parseRecord(path: string, bytes: Uint8Array): StoreRecord {
  let record: Partial<StoreRecord> | null;
  try {
    record = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<StoreRecord> | null;
  } catch (cause) {
    throw new StoreError('CORRUPT', `${path} is damaged`, { cause });
  }
  if (record?.format !== FORMAT || typeof record.id !== 'string') {
    throw new StoreError('NOT_A_STORE', `${path} does not describe a Holdfast store`);
  }
  if (record.version !== VERSION) {
    throw new StoreError('UNSUPPORTED', `${path}: version ${record.version}, this release reads 1`);
  }
  return record as StoreRecord;
}
