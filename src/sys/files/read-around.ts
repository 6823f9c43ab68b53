import { SystemError } from '../base/system-error.ts';
import type { File, FileSystem } from './file-system.ts';

/** The kernel reads the medium in pages of its cache, and each page succeeds or fails as a whole. */
const PIECE_LENGTH = 4096;
const PIECE_TRIES = 3;
/** A failing disk may take seconds for each page: after so many failures the rest counts as unreadable, too. */
const FAILED_MAX = 16;

/** A range that could not be read: `from` to before `to`, in bytes of the file. */
export interface Unread {
  readonly from: number;
  readonly to: number;
}

/**
 * Like `File.read`, but goes on where the medium fails: the pages that failed become zeros, and so does everything
 * beyond the end of the file. Returns the ranges that failed, in ascending order.
 */
export async function readAround(
  file: File,
  into: Uint8Array,
  offset: number,
): Promise<readonly Unread[]> {
  const read = await readOrFail(file, into, offset);
  if (read !== undefined) {
    into.fill(0, read);
    return [];
  }
  const unread: Unread[] = [];
  const end = offset + into.length;
  for (let from = offset; from < end; ) {
    const to = Math.min(end, from - (from % PIECE_LENGTH) + PIECE_LENGTH);
    const piece = into.subarray(from - offset, to - offset);
    const isHopeless = unread.length >= FAILED_MAX;
    const length = isHopeless ? undefined : await readPiece(file, piece, from);
    piece.fill(0, length ?? 0);
    if (length === undefined) unread.push({ from, to });
    from = to;
  }
  return unread;
}

/** Like `FileSystem.readFile`, but goes on where the medium fails. */
export async function readFileAround(
  files: FileSystem,
  path: string,
  limit: number,
): Promise<Uint8Array> {
  await using file = await files.open(path, 'read');
  const size = await file.size();
  if (size > limit) throw new SystemError('IO', `${path}: ${size} bytes, at most ${limit}`);
  const bytes = new Uint8Array(size);
  await readAround(file, bytes, 0);
  return bytes;
}

/** A cable, or a path to a disk, may fail once. */
async function readPiece(
  file: File,
  into: Uint8Array,
  offset: number,
): Promise<number | undefined> {
  for (let tries = 1; tries < PIECE_TRIES; tries++) {
    const length = await readOrFail(file, into, offset);
    if (length !== undefined) return length;
  }
  return readOrFail(file, into, offset);
}

async function readOrFail(
  file: File,
  into: Uint8Array,
  offset: number,
): Promise<number | undefined> {
  try {
    return await file.read(into, offset);
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'IO') return undefined;
    throw cause;
  }
}
