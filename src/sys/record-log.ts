import { concatBytes } from '../lib/bytes.ts';
import type { File, FileSystem } from './file-system.ts';
import { putDurably } from './put-durably.ts';

/**
 * A log in one file: a header, then records that are appended. When it has grown to several times what a fresh one
 * needs, a fresh one takes its place. What a power cut tore was never acknowledged: the log ends before it.
 */
export interface RecordLog extends AsyncDisposable {
  /** Durable once resolved. After a failure nobody knows what is in the log: it is not to be used any more. */
  append(records: Iterable<Uint8Array>): Promise<void>;
}

export interface RecordLogOptions {
  readonly headerLength: number;
  readonly recordLengthMax: number;
  /** Gets what there is of the header; throws where it is another one. */
  readonly checkHeader: (bytes: Uint8Array) => void;
  readonly replay: Replay;
  /** Header and records that a fresh log has now; `again` replays what this one holds. */
  readonly whole: (
    again: (replay: Replay) => Promise<unknown>,
  ) => Iterable<Uint8Array> | Promise<Iterable<Uint8Array>>;
}

/**
 * Takes in the record that `bytes`, which are lent, begin with, and answers its length; undefined: none that is
 * whole begins there. Throws where one cannot be.
 */
export type Replay = (bytes: Uint8Array) => number | undefined;

/** Below this a fresh log would gain nothing. */
const REWRITE_ABOVE = 1024 * 1024;
const REWRITE_FACTOR = 4;

/** Replays what is there. */
export async function openRecordLog(
  files: FileSystem,
  path: string,
  options: RecordLogOptions,
): Promise<RecordLog> {
  await using stack = new AsyncDisposableStack();
  let file = stack.use(await files.open(path, 'write'));
  let end = await replayAll(file, options);
  let isTailLeft = (await file.size()) > end;
  // Not yet known what a fresh one needs: the first rewrite finds out.
  let rewriteAbove = REWRITE_ABOVE;

  async function rewrite(): Promise<void> {
    const bytes = concatBytes(
      ...(await options.whole((replay) => replayAll(file, { ...options, replay }))),
    );
    await putDurably(files, path, bytes);
    await file[Symbol.asyncDispose]();
    file = await files.open(path, 'write');
    end = bytes.length;
    rewriteAbove = Math.max(REWRITE_ABOVE, end * REWRITE_FACTOR);
  }
  stack.move();
  return {
    async append(records) {
      if (isTailLeft) {
        // Whole records may follow the torn one. Were it overwritten by one of its length, they would count again.
        await file.truncate(end);
        await file.sync();
        isTailLeft = false;
      }
      for (const record of records) {
        await file.write(record, end);
        end += record.length;
      }
      await file.sync();
      if (end > rewriteAbove) await rewrite();
    },
    [Symbol.asyncDispose]: async () => file[Symbol.asyncDispose](),
  };
}

/** In pieces, so that a long log takes no more memory than a short one; answers where the last whole record ends. */
export async function replayAll(
  file: File,
  { headerLength, recordLengthMax, checkHeader, replay }: Omit<RecordLogOptions, 'whole'>,
): Promise<number> {
  const size = await file.size();
  const window = new Uint8Array(Math.min(size, Math.max(headerLength, 2 * recordLengthMax)));
  const head = window.subarray(0, headerLength);
  checkHeader(head.subarray(0, await file.read(head, 0)));
  let end = headerLength;
  while (end < size) {
    const length = await file.read(window, end);
    let at = 0;
    for (let taken = 1; taken > 0; at += taken) {
      taken = replay(window.subarray(at, length)) ?? 0;
    }
    if (at === 0) break;
    end += at;
  }
  return end;
}
