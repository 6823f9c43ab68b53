import type { FileSystem } from '../sys/file-system.ts';
import { IngestError } from './ingest-error.ts';

/** A range of a disk that may have changed since its last backup. */
export interface ChangedRange {
  readonly offset: number;
  readonly length: number;
}

/** By disk. */
export type ChangedBlocks = ReadonlyMap<string, readonly ChangedRange[]>;

const LENGTH_MAX = 256 * 1024 * 1024;

/**
 * `[{"offset": 0, "length": 65536}, ...]` for a machine with one disk, `{"vda": [...], ...}` for any.
 * Order does not matter, overlaps do no harm. Rejects BAD_CHANGES.
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
    throw new IngestError('BAD_CHANGES', `${path} is not JSON: ${cause.message}`, { cause });
  }
  if (Array.isArray(value)) {
    if (disks.length !== 1) {
      throw new IngestError(
        'BAD_CHANGES',
        `${path}: with several disks, {"${disks[0]}": [...], ...}`,
      );
    }
    return new Map([[disks[0]!, rangesOf(path, value)]]);
  }
  const named = new Map(Object.entries(value ?? {}));
  const stranger = [...named.keys()].find((name) => !disks.includes(name));
  if (stranger !== undefined) {
    throw new IngestError(
      'BAD_CHANGES',
      `${path} names "${stranger}", which is no disk of this backup`,
    );
  }
  return new Map([...named].map(([name, ranges]) => [name, rangesOf(path, ranges)]));
}

function rangesOf(path: string, value: unknown): ChangedRange[] {
  const ranges = Array.isArray(value) ? (value as readonly Partial<ChangedRange>[]) : undefined;
  const isWhole = (it: unknown): it is number => Number.isSafeInteger(it) && (it as number) >= 0;
  const wrong = ranges?.find((range) => !isWhole(range?.offset) || !isWhole(range?.length));
  if (!ranges || wrong !== undefined) {
    const shown = wrong === undefined ? '' : `: ${JSON.stringify(wrong).slice(0, 100)}`;
    throw new IngestError(
      'BAD_CHANGES',
      `${path}: no list of {"offset", "length"} in bytes${shown}`,
    );
  }
  return ranges as ChangedRange[];
}

/** The numbers of the pieces of `pieceLength` that the ranges touch, ascending. */
export function touchedPieces(
  ranges: readonly ChangedRange[],
  pieceLength: number,
  size: number,
): number[] {
  const touched = new Set<number>();
  for (const { offset, length } of ranges) {
    const end = Math.min(offset + length, size);
    for (let at = Math.floor(offset / pieceLength); at * pieceLength < end; at++) touched.add(at);
  }
  return [...touched].sort((a, b) => a - b);
}
