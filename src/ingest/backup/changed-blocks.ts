import type { FileSystem } from '../../sys/files/file-system.ts';
import { IngestError } from '../source/ingest-error.ts';
import type { ByteRange } from '../../lib/bytes.ts';
import { isId } from '../../formats/store/base/names.ts';

export interface ChangedBlocks {
  /** ID of the recovery point from which the changes are counted; undefined: the machine's newest backup. */
  readonly since: string | undefined;
  readonly disks: ReadonlyMap<string, readonly ByteRange[]>;
  /** Why the changes of other disks are not known. */
  readonly unknown?: ReadonlyMap<string, string> | undefined;
}

const LENGTH_MAX = 256 * 1024 * 1024;

/**
 * `[{"offset": 0, "length": 65536}, ...]` for a machine with one disk, `{"vda": [...], ...}` for any; either may be the
 * `disks` of `{"since": "POINT", "disks": ...}`. Order does not matter, overlaps do no harm. Rejects BAD_CHANGES.
 */
export async function readChangedBlocks(
  files: FileSystem,
  path: string,
  disks: readonly string[],
): Promise<ChangedBlocks> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(await files.readFile(path, LENGTH_MAX)).toString('utf8'));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    // JSON.parse quotes the contents in its message, and the path can be any file that the service may read.
    throw new IngestError('BAD_CHANGES', `${path} is not JSON`);
  }
  const { since, disks: counted } = (value ?? {}) as { since?: unknown; disks?: unknown };
  // For a disk of that name the value would be a list.
  if (typeof since !== 'string') return { since: undefined, disks: byDisk(path, value, disks) };
  if (isId(since)) return { since, disks: byDisk(path, counted, disks) };
  throw new IngestError('BAD_CHANGES', `${path}: "since" is not the ID of a recovery point`);
}

function byDisk(path: string, value: unknown, disks: readonly string[]): ChangedBlocks['disks'] {
  if (Array.isArray(value)) {
    if (disks.length === 1) return new Map([[disks[0]!, rangesOf(path, value)]]);
    throw new IngestError(
      'BAD_CHANGES',
      `${path}: with several disks, {"${disks[0]}": [...], ...}`,
    );
  }
  const named = new Map(Object.entries(value ?? {}));
  if ([...named.keys()].some((name) => !disks.includes(name))) {
    throw new IngestError(
      'BAD_CHANGES',
      `${path} names other things than the disks of this backup (${disks.join(', ')})`,
    );
  }
  return new Map([...named].map(([name, ranges]) => [name, rangesOf(path, ranges)]));
}

function rangesOf(path: string, value: unknown): ByteRange[] {
  const ranges = Array.isArray(value) ? (value as readonly Partial<ByteRange>[]) : undefined;
  const isWhole = (it: unknown): it is number => Number.isSafeInteger(it) && (it as number) >= 0;
  const wrong = ranges?.findIndex((range) => !isWhole(range?.offset) || !isWhole(range?.length));
  if (ranges && wrong === -1) return ranges as ByteRange[];
  const which = wrong === undefined ? '' : `: see entry ${wrong + 1}`;
  throw new IngestError(
    'BAD_CHANGES',
    `${path}: not a list of {"offset", "length"} in bytes${which}`,
  );
}

/** Hypervisors count in units of 64 KiB to some MiB: the last one may extend beyond the disk's end. */
const TRACKED_PIECE_MAX = 32 * 1024 * 1024;

/**
 * A list that extends beyond the disk belongs to another disk, or uses other units, and so misses changes. Rejects
 * BAD_CHANGES.
 */
export function requireWithin(
  ranges: readonly ByteRange[],
  { name, size }: { readonly name: string; readonly size: number },
): void {
  const isOutside = ({ offset, length }: ByteRange): boolean =>
    length > 0 && (offset >= size || offset + length >= size + TRACKED_PIECE_MAX);
  const wrong = ranges.findIndex(isOutside);
  if (wrong === -1) return;
  throw new IngestError(
    'BAD_CHANGES',
    `entry ${wrong + 1} of the changed-block list lies beyond the end of disk ${name} (${size} bytes): does it ` +
      'belong to another disk, or does it not count in bytes? Nothing was read',
  );
}

/** Consecutive pieces of a disk, by their numbers. */
export interface PieceRun {
  readonly first: number;
  readonly count: number;
}

/** The pieces of `pieceLength` that the ranges touch: ascending runs that do not touch each other. */
export function touchedPieces(
  ranges: Iterable<ByteRange>,
  pieceLength: number,
  size: number,
): PieceRun[] {
  const pieces = touched(pieceLength, size);
  for (const range of ranges) pieces.add(range);
  return pieces.runs();
}

/** The same for ranges that come one by one: if they come in order, memory holds only runs. */
export function touched(pieceLength: number, size: number) {
  const found: PieceRun[] = [];
  return {
    add({ offset, length }: ByteRange): void {
      const first = Math.floor(offset / pieceLength);
      const end = Math.ceil(Math.min(offset + length, size) / pieceLength);
      if (first < end) append(found, { first, count: end - first });
    },
    runs(): PieceRun[] {
      const merged: PieceRun[] = [];
      for (const run of found.sort((a, b) => a.first - b.first)) append(merged, run);
      return merged;
    },
  };
}

/** Extends the last run if the next one touches it. */
function append(runs: PieceRun[], next: PieceRun): void {
  const last = runs.at(-1);
  if (!last || next.first < last.first || next.first > last.first + last.count) {
    runs.push(next);
    return;
  }
  const end = Math.max(last.first + last.count, next.first + next.count);
  runs[runs.length - 1] = { first: last.first, count: end - last.first };
}
