import { concatBytes } from '../../lib/bytes.ts';
import { MiB } from '../../lib/sizes.ts';
import type { File, FileSystem } from './file-system.ts';
import { putDurably } from './write-atomically.ts';
import { SystemError } from '../base/system-error.ts';

/**
 * A log in one file: a header, then records that are appended, each synced before the next one is written. So a
 * power cut can tear the last record only: that one was never acknowledged, and the log ends before it. Any other
 * record that is not whole is damage, and reported: nothing behind it is read, and nothing is cut off. When the log
 * has grown to several times what a fresh one needs, a fresh one takes its place.
 */
export interface RecordLog extends AsyncDisposable {
  /** Durable once resolved. After a failure nobody knows what is in the log: it is not to be used any more. */
  append(records: Iterable<Uint8Array>): Promise<void>;
}

/** How records are recognized without knowing what they say. */
export interface RecordShape {
  /** Bytes that have to be there to ask for the length. */
  readonly headLength: number;
  readonly lengthMax: number;
  /** The whole length that the record at `at` says it has; undefined: none can begin there. */
  readonly lengthAt: (view: DataView, at: number) => number | undefined;
  /** Whether `record`, of the length that it says, has the checksum that it says. */
  readonly isSound: (record: Uint8Array) => boolean;
}

export interface ReplayOptions {
  readonly headerLength: number;
  readonly records: RecordShape;
  /** Gets what there is of the header; throws where it is another one. */
  readonly checkHeader: (bytes: Uint8Array) => void;
  readonly replay: Replay;
}

export interface RecordLogOptions extends ReplayOptions {
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
const REWRITE_ABOVE = MiB;
const REWRITE_FACTOR = 4;

/** What a search for a whole record may put into checksums. A guest's writes could be made to look like many. */
const SEARCHED_MAX = 256 * MiB;
/** A disk writes as much at once, or none of it. */
const SECTOR = 512;

/** Replays what is there. Rejects SystemError CORRUPT where a record is damaged that is not the last one. */
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
        await file.sync();
        end += record.length;
      }
      if (end > rewriteAbove) await rewrite();
    },
    [Symbol.asyncDispose]: async () => file[Symbol.asyncDispose](),
  };
}

/**
 * In pieces, so that a long log takes no more memory than a short one; answers where the last whole record ends.
 * Rejects SystemError CORRUPT where what follows is more than one torn record.
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

/** Between `end` and `size` lies what is left of the last record, and nothing else. */
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
    `${file.path} is damaged at byte ${end} of ${size}: the record there fails its checksum, and what ` +
      'follows was acknowledged. Nothing was changed: save a copy of the file first of all',
  );
}

/** Whether more lies there than the record that begins says: its beginning got to the disk whole, or not at all. */
function isLonger(rest: Uint8Array, at: number, records: RecordShape): boolean {
  const isInOneSector = (at % SECTOR) + records.headLength <= SECTOR;
  if (!isInOneSector || rest.length < records.headLength) return false;
  const length = records.lengthAt(viewOf(rest), 0);
  return length !== undefined && length < rest.length;
}

/** Whether a whole record begins anywhere. What takes too long to tell counts as one. */
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
