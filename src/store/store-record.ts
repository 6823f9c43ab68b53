import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { encodeSummed, isSummed } from '../formats/store/json-record.ts';
import type { FileSystem } from '../sys/file-system.ts';
import { putDurably } from '../sys/put-durably.ts';
import { SystemError } from '../sys/system-error.ts';
import type { Problem } from './check.ts';
import { StoreError } from './store-error.ts';

/*
 * The record that makes a directory a store. It lies there twice: either copy opens the store, and the next writer
 * makes the other one again. Releases before this one wrote one copy, without a checksum, and ignore both.
 */
interface StoreRecord {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly id: string;
  readonly created: string;
}

export const STORE_RECORD = 'holdfast-store.json';
export const STORE_RECORD_COPY = 'holdfast-store.copy.json';
const FORMAT = 'holdfast-store';
const VERSION = 1;
const RECORD_LENGTH_MAX = 64 * 1024;

export function newStoreRecord(id: string, created: Date): Uint8Array {
  const record: StoreRecord = {
    ...{ format: FORMAT, version: VERSION },
    ...{ id, created: created.toISOString() },
  };
  return encodeSummed(record);
}

export interface StoreRecordCopies {
  readonly record: StoreRecord;
  /** Copies that are damaged or missing. */
  readonly problems: readonly Problem[];
}

/** Rejects NOT_A_STORE, UNSUPPORTED, CORRUPT where neither copy can be read. */
export async function readStoreRecord(
  files: FileSystem,
  directory: string,
): Promise<StoreRecordCopies> {
  const path = join(directory, STORE_RECORD);
  const copyPath = join(directory, STORE_RECORD_COPY);
  const first = await readCopy(files, path);
  const copy = await readCopy(files, copyPath);
  if (first.error?.code === 'UNSUPPORTED') throw first.error;
  const problems = [first, copy].flatMap(({ error }, at) =>
    error ? [{ where: at === 0 ? path : copyPath, what: error.message }] : [],
  );
  if (!first.record && !copy.record) {
    const error = first.error ?? copy.error;
    if (error) throw error;
    throw new StoreError(
      'NOT_A_STORE',
      `${directory} is not a Holdfast store: make one with "holdfast store create ${directory}"`,
    );
  }
  const differ = first.record && copy.record && first.record.id !== copy.record.id;
  if (differ) problems.push({ where: path, what: `${path} and ${copyPath} differ` });
  if (copy.record && !first.record && !first.error) {
    problems.push({ where: path, what: `${path} is missing` });
  }
  if (first.isSummed && !copy.record && !copy.error) {
    problems.push({ where: copyPath, what: `${copyPath} is missing` });
  }
  const isCopyBetter = !first.record || (differ === true && !first.isSummed);
  return { record: isCopyBetter ? copy.record! : first.record, problems };
}

/**
 * Makes the damaged or missing copy again. The caller holds the store's lock, and goes on where the disk is
 * full: forgetting has to be possible then.
 */
export async function mendStoreRecord(files: FileSystem, directory: string): Promise<void> {
  const paths = [join(directory, STORE_RECORD), join(directory, STORE_RECORD_COPY)];
  const copies: Copy[] = [];
  for (const path of paths) copies.push(await readCopy(files, path));
  const isWhole = copies.every(({ record }) => record?.id === copies[0]!.record?.id && record);
  if (isWhole) return;
  const { record } = await readStoreRecord(files, directory);
  try {
    for (const [at, path] of paths.entries()) {
      if (copies[at]!.record?.id !== record.id) await putDurably(files, path, encodeSummed(record));
    }
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
  }
}

interface Copy {
  readonly record: StoreRecord | undefined;
  readonly error: StoreError | undefined;
  readonly isSummed: boolean;
}

/** Neither a record nor an error: it is not there. */
async function readCopy(files: FileSystem, path: string): Promise<Copy> {
  const none = { record: undefined, error: undefined, isSummed: false };
  if (!(await files.stat(path))) return none;
  const bytes = await files.readFile(path, RECORD_LENGTH_MAX);
  try {
    const record = parseRecord(path, bytes);
    return { record, error: undefined, isSummed: isSummed(bytes) };
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
    return { ...none, error: cause };
  }
}

function parseRecord(path: string, bytes: Uint8Array): StoreRecord {
  let record: Partial<StoreRecord> | null;
  try {
    record = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<StoreRecord> | null;
    if (record?.format === FORMAT) isSummed(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError) && !(cause instanceof SyntaxError)) throw cause;
    throw new StoreError('CORRUPT', `${path} is damaged`, { cause });
  }
  if (record?.format !== FORMAT || typeof record.id !== 'string') {
    throw new StoreError('NOT_A_STORE', `${path} does not describe a Holdfast store`);
  }
  if (record.version !== VERSION) {
    throw new StoreError('UNSUPPORTED', `${path}: version ${record.version}, this release reads 1`);
  }
  const { format, version, id, created = '' } = record;
  return { format, version, id, created };
}
