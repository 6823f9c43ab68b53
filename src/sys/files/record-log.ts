import { concatBytes } from '../../lib/bytes.ts';
import { MiB } from '../../lib/sizes.ts';
import type { File, FileSystem } from './file-system.ts';
import { putDurably } from './write-atomically.ts';
import { SystemError } from '../base/system-error.ts';

/**
 * A log in one file: a header, then records that are appended, each synced before the next one is written. So a power
 * cut can tear only the last record: that one was never acknowledged, and the log ends before it. Any other record
 * that is not whole is damage, and is reported: nothing behind it is read, and nothing is cut off. When the log has
 * grown to several times the size of a fresh one, a fresh one takes its place.
 */
export interface RecordLog extends AsyncDisposable {
  /** Durable once resolved. After a failure the contents of the log are unknown: it must no longer be used. */
  append(records: Iterable<Uint8Array>): Promise<void>;
}

/** How records are recognized without knowing their contents. */
export interface RecordShape {
  /** Bytes that must be there before `lengthAt` can be called. */
  readonly headLength: number;
  readonly lengthMax: number;
  /** The whole length that the record at `at` states; undefined: no record can begin there. */
  readonly lengthAt: (view: DataView, at: number) => number | undefined;
  /** Whether `record`, which has the length that it states, matches its checksum. */
  readonly isSound: (record: Uint8Array) => boolean;
}

export interface ReplayOptions {
  readonly headerLength: number;
  readonly records: RecordShape;
  /** Checks the header, or as much of it as there is; throws if it is a different one. */
  readonly checkHeader: (bytes: Uint8Array) => void;
  readonly replay: Replay;
}

export interface RecordLogOptions extends ReplayOptions {
  /** Header and records of a fresh log with the current contents; `again` replays this log. */
  readonly whole: (
    again: (replay: Replay) => Promise<unknown>,
  ) => Iterable<Uint8Array> | Promise<Iterable<Uint8Array>>;
}

/**
 * Applies the record at the start of `bytes` (lent), and returns its length; undefined: no whole record begins there.
 * Throws if no record can begin there.
 */
export type Replay = (bytes: Uint8Array) => number | undefined;

/** Below this size a fresh log would gain nothing. */
const REWRITE_ABOVE = MiB;
const REWRITE_FACTOR = 4;

/**
 * Limit of the bytes that a search for a whole record may checksum: a guest's writes can be made to look like many
 * records.
 */
const SEARCHED_MAX = 256 * MiB;
/** A disk writes this much at once, or none of it. */
const SECTOR = 512;

/** Replays an existing log. Rejects SystemError CORRUPT if a record other than the last is damaged. */
export async function openRecordLog(
  files: FileSystem,
  path: string,
  options: RecordLogOptions,
): Promise<RecordLog> {
  await using stack = new AsyncDisposableStack();
  let file = stack.use(await files.open(path, 'write'));
  let end = await replayAll(file, options);
  let isTailLeft = (await file.size()) > end;
  // The size of a fresh log is not known yet: the first rewrite finds out.
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
        // Whole records may follow the torn one. If a record of its length overwrote it, they would count again.
        await file.truncate(end);
        await file.sync();
        isTailLeft = false;
      }
      for (const record of records) {
        await file.write(record, end);
        await file.sync();
        end += record.length;
      }
      if (end > rewriteAbove) await rewrite();
    },
    [Symbol.asyncDispose]: async () => file[Symbol.asyncDispose](),
  };
}

/**
 * Replays in pieces, so that a long log takes no more memory than a short one; returns where the last whole record
 * ends. Rejects SystemError CORRUPT if more than one torn record follows.
 */
export async function replayAll(
  file: File,
  { headerLength, records, checkHeader, replay }: ReplayOptions,
): Promise<number> {
  const size = await file.size();
  const window = new Uint8Array(Math.min(size, Math.max(headerLength, 2 * records.lengthMax)));
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
  if (end < size) await checkTorn(file, { end, size }, records);
  return end;
}

/** Checks that only the rest of the torn last record lies between `end` and `size`. */
async function checkTorn(
  file: File,
  { end, size }: { readonly end: number; readonly size: number },
  records: RecordShape,
): Promise<void> {
  if (size - end <= records.lengthMax) {
    const rest = new Uint8Array(size - end);
    await file.read(rest, end);
    if (!isLonger(rest, end, records) && !hasRecord(rest, records)) return;
  }
  throw new SystemError(
    'CORRUPT',
    `${file.path} is damaged at byte ${end} of ${size}: the record there fails its checksum, and ` +
      'later records were acknowledged. Nothing was changed: before anything else, save a copy of the file',
  );
}

/**
 * Whether more bytes follow than the length that the record states. That length can be trusted: the record's first
 * sector reached the disk as a whole, or not at all.
 */
function isLonger(rest: Uint8Array, at: number, records: RecordShape): boolean {
  const isInOneSector = (at % SECTOR) + records.headLength <= SECTOR;
  if (!isInOneSector || rest.length < records.headLength) return false;
  const length = records.lengthAt(viewOf(rest), 0);
  return length !== undefined && length < rest.length;
}

/** Whether a whole record begins anywhere. If the search takes too long, the answer is yes. */
function hasRecord(rest: Uint8Array, { headLength, lengthAt, isSound }: RecordShape): boolean {
  const view = viewOf(rest);
  let left = SEARCHED_MAX;
  for (let at = 1; at + headLength <= rest.length; at++) {
    const length = lengthAt(view, at);
    if (length === undefined || at + length > rest.length) continue;
    left -= length;
    if (left < 0 || isSound(rest.subarray(at, at + length))) return true;
  }
  return false;
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}
