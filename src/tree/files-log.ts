import {
  CHANGES_MAX,
  checkFilesLogHeader,
  decodeFilesRecord,
  encodeFilesLogHeader,
  encodeFilesRecord,
  FILES_LOG_HEADER_LENGTH,
  type FilesChange,
  filesRecords,
} from '../formats/store/files-log.ts';
import { FormatError } from '../formats/format-error.ts';
import { concatBytes } from '../lib/bytes.ts';
import type { FileSystem } from '../sys/file-system.ts';
import { putDurably } from '../sys/put-durably.ts';
import { openRecordLog, replayAll, type ReplayOptions } from '../sys/record-log.ts';
import { SystemError } from '../sys/system-error.ts';
import { TreeError } from './tree-error.ts';

/** Where a namespace is kept: appended to with each operation, rewritten when it grew stale. */
export interface FilesLog extends AsyncDisposable {
  /** Durable once resolved; before that each operation may have happened, but never a part of one. */
  append(operations: readonly Operation[]): Promise<void>;
}

/** Changes that belong together. */
type Operation = readonly FilesChange[];

export async function createFilesLog(
  files: FileSystem,
  path: string,
  changes: readonly FilesChange[],
): Promise<void> {
  await putDurably(files, path, concatBytes(...wholeLog(changes)));
}

/**
 * Hands what the log holds to `replay`, in its order; `whole` gives what a fresh log would hold. Rejects TreeError
 * CORRUPT, also where `replay` throws a TreeError.
 */
export async function openFilesLog(
  files: FileSystem,
  path: string,
  {
    replay,
    whole,
  }: {
    readonly replay: (changes: readonly FilesChange[]) => void;
    readonly whole: () => readonly FilesChange[];
  },
): Promise<FilesLog> {
  return worldly(path, async () => {
    const log = await openRecordLog(files, path, {
      ...replayOptions(replay),
      whole: () => wholeLog(whole()),
    });
    return { ...log, append: (operations) => log.append(recordsOf(operations)) };
  });
}

/** Hands all of the log to `replay`; changes nothing, also while a writer appends to it. Rejects TreeError CORRUPT. */
export async function readFilesLog(
  files: FileSystem,
  path: string,
  replay: (changes: readonly FilesChange[]) => void,
): Promise<void> {
  await using file = await files.open(path, 'read');
  await worldly(path, () => replayAll(file, replayOptions(replay)));
}

function replayOptions(replay: (changes: readonly FilesChange[]) => void): ReplayOptions {
  return {
    headerLength: FILES_LOG_HEADER_LENGTH,
    records: filesRecords,
    checkHeader: checkFilesLogHeader,
    replay(bytes) {
      const record = decodeFilesRecord(bytes);
      if (record) replay(record.changes);
      return record?.length;
    },
  };
}

async function worldly<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'CORRUPT') {
      throw new TreeError('CORRUPT', cause.message, { cause });
    }
    if (!(cause instanceof FormatError) && !(cause instanceof TreeError)) throw cause;
    throw new TreeError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
}

/** A fresh log is published as a whole: there, each change may stand for itself. */
function* wholeLog(changes: readonly FilesChange[]): Generator<Uint8Array> {
  yield encodeFilesLogHeader();
  yield* recordsOf(changes.map((it) => [it]));
}

/** A record holds as many operations as fit, and no part of another one. */
function* recordsOf(operations: readonly Operation[]): Generator<Uint8Array> {
  let group: FilesChange[] = [];
  for (const operation of operations) {
    if (group.length + operation.length > CHANGES_MAX) {
      yield encodeFilesRecord(group);
      group = [];
    }
    group.push(...operation);
  }
  if (group.length > 0) yield encodeFilesRecord(group);
}
