import {
  CHANGES_MAX,
  checkFilesLogHeader,
  decodeFilesRecord,
  encodeFilesLogHeader,
  encodeFilesRecord,
  FILES_LOG_HEADER_LENGTH,
  type FilesChange,
} from '../formats/store/files-log.ts';
import { FormatError } from '../formats/format-error.ts';
import { concatBytes } from '../lib/bytes.ts';
import type { FileSystem } from '../sys/file-system.ts';
import { putDurably } from '../sys/put-durably.ts';
import { TreeError } from './tree-error.ts';

/** Where a namespace is kept: appended to with each operation, rewritten when it grew stale. */
export interface FilesLog extends AsyncDisposable {
  /** Durable once resolved; before that each operation may have happened, but never a part of one. */
  append(operations: readonly Operation[]): Promise<void>;
}

/** Changes that belong together. */
type Operation = readonly FilesChange[];

/** More is no log of ours: see NODES_MAX and REWRITE_FACTOR. */
const LOG_LENGTH_MAX = 256 * 1024 * 1024;
const REWRITE_ABOVE = 1024 * 1024;
const REWRITE_FACTOR = 4;

export async function createFilesLog(
  files: FileSystem,
  path: string,
  changes: readonly FilesChange[],
): Promise<void> {
  await putDurably(files, path, wholeLog(changes));
}

/** Hands what the log holds to `replay`, in its order; `whole` gives what a fresh log would hold. */
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
  const bytes = await files.readFile(path, LOG_LENGTH_MAX);
  let end = FILES_LOG_HEADER_LENGTH;
  try {
    checkFilesLogHeader(bytes);
    for (let it = decodeFilesRecord(bytes.subarray(end)); it; ) {
      replay(it.changes);
      end += it.length;
      it = decodeFilesRecord(bytes.subarray(end));
    }
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new TreeError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
  let file = await files.open(path, 'write');
  let rewriteAbove = Math.max(REWRITE_ABOVE, end * REWRITE_FACTOR);

  async function rewrite(): Promise<void> {
    const fresh = wholeLog(whole());
    await putDurably(files, path, fresh);
    await file[Symbol.asyncDispose]();
    file = await files.open(path, 'write');
    end = fresh.length;
    rewriteAbove = Math.max(REWRITE_ABOVE, end * REWRITE_FACTOR);
  }
  return {
    async append(operations) {
      for (const changes of grouped(operations)) {
        const record = encodeFilesRecord(changes);
        await file.write(record, end);
        end += record.length;
      }
      await file.sync();
      if (end > rewriteAbove) await rewrite();
    },
    [Symbol.asyncDispose]: async () => file[Symbol.asyncDispose](),
  };
}

/** A fresh log is published as a whole: there, each change may stand for itself. */
function wholeLog(changes: readonly FilesChange[]): Uint8Array {
  const parts = [encodeFilesLogHeader()];
  for (const some of grouped(changes.map((it) => [it]))) parts.push(encodeFilesRecord(some));
  return concatBytes(...parts);
}

/** What goes into one record: as many operations as fit, and no part of another one. */
function* grouped(operations: readonly Operation[]): Generator<readonly FilesChange[]> {
  let group: FilesChange[] = [];
  for (const operation of operations) {
    if (group.length + operation.length > CHANGES_MAX) {
      yield group;
      group = [];
    }
    group.push(...operation);
  }
  if (group.length > 0) yield group;
}
