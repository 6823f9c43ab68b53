import {
  CHANGES_MAX,
  decodeFilesLogHeader,
  decodeFilesRecord,
  encodeFilesLogHeader,
  encodeFilesRecord,
  FILES_LOG_HEADER_LENGTH,
  type FilesChain,
  filesChain,
  type FilesChange,
  filesRecords,
} from '../formats/store/sessions/files-log.ts';
import { FormatError } from '../formats/format-error.ts';
import { concatBytes } from '../lib/bytes.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { openRecordLog, replayAll, type ReplayOptions } from '../sys/files/record-log.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { TreeError } from './tree-error.ts';

/** The log of a namespace: appended to with each operation, rewritten when most of it is stale. */
export interface FilesLog extends AsyncDisposable {
  /** Durable once resolved; until then each operation has happened or not, but never in part. */
  append(operations: readonly Operation[]): Promise<void>;
}

/** Changes that belong together. */
type Operation = readonly FilesChange[];

/** Undefined for a session without sealed overlays, whose logs have no MACs. */
export type LogKey = Uint8Array | undefined;

export async function createFilesLog(
  files: FileSystem,
  path: string,
  { changes, key }: { readonly changes: readonly FilesChange[]; readonly key: LogKey },
): Promise<void> {
  await putDurably(files, path, concatBytes(...wholeLog(changes, key && filesChain(key))));
}

export interface ReadingLog {
  readonly key: LogKey;
  /** Whether the log of a session with a key may still lack MACs. */
  readonly takesPlain: boolean;
  readonly replay: (changes: readonly FilesChange[]) => void;
}

/**
 * Passes the log's contents to `replay`, in order; `whole` returns the contents of a fresh log. If there is a key, a
 * log without MACs gets them first. Rejects TreeError CORRUPT, also where `replay` throws a TreeError.
 */
export async function openFilesLog(
  files: FileSystem,
  path: string,
  { whole, ...reading }: ReadingLog & { readonly whole: () => readonly FilesChange[] },
): Promise<FilesLog> {
  const { key } = reading;
  return worldly(path, async () => {
    const { isPlain } = await replayLog(files, path, reading);
    if (key && isPlain) await createFilesLog(files, path, { changes: whole(), key });
    if (!key && !isPlain) {
      throw new FormatError(
        'CORRUPT',
        'its records have MACs, and this session has no key for them',
      );
    }
    const { options, state } = replayOptions({ ...reading, replay() {} });
    const log = await openRecordLog(files, path, {
      ...options,
      whole() {
        state.chain = key && filesChain(key);
        return wholeLog(whole(), state.chain);
      },
    });
    return { ...log, append: (operations) => log.append(recordsOf(operations, state.chain)) };
  });
}

/**
 * Passes all of the log to `replay`; changes nothing, even while a writer appends to it. Rejects TreeError CORRUPT.
 */
export async function readFilesLog(
  files: FileSystem,
  path: string,
  reading: ReadingLog,
): Promise<void> {
  await worldly(path, () => replayLog(files, path, reading));
}

async function replayLog(
  files: FileSystem,
  path: string,
  reading: ReadingLog,
): Promise<{ readonly isPlain: boolean }> {
  await using file = await files.open(path, 'read');
  const { options, state } = replayOptions(reading);
  await replayAll(file, options);
  return { isPlain: !state.sealed };
}

function replayOptions({ key, takesPlain, replay }: ReadingLog) {
  /** The state after the replay. */
  const state: { sealed: boolean; chain: FilesChain | undefined } = {
    sealed: false,
    chain: key && filesChain(key),
  };
  const options: ReplayOptions = {
    headerLength: FILES_LOG_HEADER_LENGTH,
    records: filesRecords,
    checkHeader(bytes) {
      state.sealed = decodeFilesLogHeader(bytes).sealed;
      if (!key || state.sealed || takesPlain) return;
      throw new FormatError('CORRUPT', 'its records lack the MACs that this session requires');
    },
    replay(bytes) {
      const record = decodeFilesRecord(bytes, state);
      if (record) replay(record.changes);
      return record?.length;
    },
  };
  return { options, state };
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

/** A fresh log is published as a whole: in it each change may be a record of its own. */
function* wholeLog(
  changes: readonly FilesChange[],
  chain: FilesChain | undefined,
): Generator<Uint8Array> {
  yield encodeFilesLogHeader({ sealed: chain !== undefined });
  yield* recordsOf(
    changes.map((it) => [it]),
    chain,
  );
}

/** A record holds as many operations as fit, and no part of another one. */
function* recordsOf(
  operations: readonly Operation[],
  chain: FilesChain | undefined,
): Generator<Uint8Array> {
  let group: FilesChange[] = [];
  for (const operation of operations) {
    if (group.length + operation.length > CHANGES_MAX) {
      yield encodeFilesRecord(group, chain);
      group = [];
    }
    group.push(...operation);
  }
  if (group.length > 0) yield encodeFilesRecord(group, chain);
}
