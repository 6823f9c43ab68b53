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
  /** Durable once resolved. */
  append(changes: readonly FilesChange[]): Promise<void>;
}

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
    async append(changes) {
      for (let at = 0; at < changes.length; at += CHANGES_MAX) {
        const record = encodeFilesRecord(changes.slice(at, at + CHANGES_MAX));
        await file.write(record, end);
        end += record.length;
      }
      await file.sync();
      if (end > rewriteAbove) await rewrite();
    },
    [Symbol.asyncDispose]: async () => file[Symbol.asyncDispose](),
  };
}

function wholeLog(changes: readonly FilesChange[]): Uint8Array {
  const parts = [encodeFilesLogHeader()];
  for (let at = 0; at < changes.length; at += CHANGES_MAX) {
    parts.push(encodeFilesRecord(changes.slice(at, at + CHANGES_MAX)));
  }
  return concatBytes(...parts);
}
