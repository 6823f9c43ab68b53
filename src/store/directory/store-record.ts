import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import { isFeature, type Needs } from '../../formats/store/base/features.ts';
import { isSummed } from '../../formats/store/base/json-record.ts';
import {
  decodeStoreRecord,
  encodeStoreRecord,
  type StoreRecord,
} from '../../formats/store/catalog/store-record.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Problem } from '../check/problem.ts';
import { StoreError } from '../packs/store-error.ts';

/*
 * The record that makes a directory a store. It exists twice: either copy opens the store, and the next writer
 * restores the other one. The release of 22 November wrote one copy, without a checksum, and reads only that one: so
 * it is written first when the version rises, and no older release gets in between.
 */
const STORE_RECORD = 'holdfast-store.json';
const STORE_RECORD_COPY = 'holdfast-store.copy.json';
const RECORD_LENGTH_MAX = 64 * 1024;

export interface StoreRecordCopies {
  readonly record: StoreRecord;
  /** Copies that are damaged or missing. */
  readonly problems: readonly Problem[];
}

/** Rejects NOT_A_STORE, UNSUPPORTED, or CORRUPT where neither copy can be read. */
export async function readStoreRecord(
  files: FileSystem,
  directory: string,
): Promise<StoreRecordCopies> {
  const path = join(directory, STORE_RECORD);
  const copyPath = join(directory, STORE_RECORD_COPY);
  const first = await readCopy(files, path);
  const copy = await readCopy(files, copyPath);
  for (const { error } of [first, copy]) if (error?.code === 'UNSUPPORTED') throw error;
  const problems = [first, copy].flatMap(({ error }, at) =>
    error ? [{ where: at === 0 ? path : copyPath, what: error.message }] : [],
  );
  if (!first.record && !copy.record) {
    const error = first.error ?? copy.error;
    if (error) throw error;
    throw new StoreError(
      'NOT_A_STORE',
      `${directory} is not a Holdfast store: create one with "holdfast store create ${directory}"`,
    );
  }
  const differ = first.record && copy.record && !isSame(first.record, copy.record);
  if (differ) problems.push({ where: path, what: `${path} and ${copyPath} differ` });
  if (copy.record && !first.record && !first.error) {
    problems.push({ where: path, what: `${path} is missing` });
  }
  if (first.isSummed && !copy.record && !copy.error) {
    problems.push({ where: copyPath, what: `${copyPath} is missing` });
  }
  return { record: isCopyBetter(first, copy) ? copy.record! : first.record!, problems };
}

/** A copy from before an upgrade may exist beside one from after it; one without a checksum may be damaged. */
function isCopyBetter(first: Copy, copy: Copy): boolean {
  if (!first.record || !copy.record) return !first.record;
  if (first.record.id !== copy.record.id) return !first.isSummed;
  const weight = ({ version, needs }: StoreRecord): number =>
    version * 1000 + needs.read.length + needs.write.length;
  return weight(copy.record) > weight(first.record);
}

const isSame = (a: StoreRecord, b: StoreRecord): boolean =>
  Buffer.compare(encodeStoreRecord(a), encodeStoreRecord(b)) === 0;

/** The first of the features that the store has and this release does not know. */
export function unknownFeature({ needs }: StoreRecord, whose: keyof Needs): string | undefined {
  return needs[whose].find((name) => !isFeature(name));
}

/** The caller holds the store's lock, unless it is creating the store. */
export async function writeStoreRecord(
  files: FileSystem,
  directory: string,
  record: StoreRecord,
): Promise<void> {
  const bytes = encodeStoreRecord(record);
  for (const name of [STORE_RECORD, STORE_RECORD_COPY]) {
    await putDurably(files, join(directory, name), bytes);
  }
}

/**
 * Restores the damaged or missing copy. The caller holds the store's lock, and continues if the disk is full:
 * forgetting must be possible then.
 */
export async function mendStoreRecord(files: FileSystem, directory: string): Promise<StoreRecord> {
  const { record } = await readStoreRecord(files, directory);
  // Records that this release does not fully know are not rewritten.
  if (unknownFeature(record, 'write') !== undefined) return record;
  const bytes = encodeStoreRecord(record);
  try {
    for (const name of [STORE_RECORD, STORE_RECORD_COPY]) {
      const path = join(directory, name);
      const { record: found } = await readCopy(files, path);
      if (!found || !isSame(found, record)) await putDurably(files, path, bytes);
    }
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
  }
  return record;
}

interface Copy {
  readonly record: StoreRecord | undefined;
  readonly error: StoreError | undefined;
  readonly isSummed: boolean;
}

/** Neither a record nor an error: the copy does not exist. */
async function readCopy(files: FileSystem, path: string): Promise<Copy> {
  const none = { record: undefined, error: undefined, isSummed: false };
  if (!(await files.stat(path))) return none;
  const bytes = await files.readFile(path, RECORD_LENGTH_MAX);
  try {
    return { record: decodeStoreRecord(bytes), error: undefined, isSummed: isSummed(bytes) };
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return { ...none, error: errorOf(path, cause) };
  }
}

function errorOf(path: string, cause: FormatError): StoreError {
  if (cause.code === 'UNSUPPORTED') {
    return new StoreError('UNSUPPORTED', `${path}: ${cause.message}`, { cause });
  }
  if (cause.code === 'BAD_MAGIC') {
    const what = `${path} does not describe a Holdfast store`;
    return new StoreError('NOT_A_STORE', what, { cause });
  }
  return new StoreError('CORRUPT', `${path} is damaged: ${cause.message}`, { cause });
}
