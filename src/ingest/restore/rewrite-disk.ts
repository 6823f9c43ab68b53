import { crc32 } from 'node:zlib';
import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import { MiB } from '../../lib/sizes.ts';
import { IngestError } from '../source/ingest-error.ts';
import type { ByteRange } from '../../lib/bytes.ts';

export interface RewriteOptions {
  /** The target reads as zeros: holes need not be written. */
  readonly isEmpty: boolean;
  /** After a flush: later reads come from the medium. Undefined: the target decides for itself. */
  readonly forget?: (() => Promise<void>) | undefined;
  /** In order; only these parts are copied. Undefined: the whole disk. */
  readonly ranges?: readonly ByteRange[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (progress: RewriteProgress) => void;
}

export interface RewriteProgress {
  readonly phase: 'write' | 'verify';
  readonly position: number;
  readonly total: number;
}

const PIECE_LENGTH = MiB;
const LANES = 4;
const LOOK_LENGTH = 1024 * MiB;

interface Piece extends ByteRange {
  readonly kind: 'data' | 'zero';
  /** Checksum of the written data. */
  crc: number;
}

/**
 * Copies `from`, or parts of it, over the beginning of a target, makes it durable, and reads it back from the medium:
 * also the zeros, unless nothing was ever there. What the store returned was compared with its digests before.
 * Rejects VERIFY.
 */
export async function rewriteDisk(
  from: BlockDevice,
  to: WritableBlockDevice,
  { isEmpty, forget, ranges, signal, onProgress }: RewriteOptions,
): Promise<{ readonly writtenBytes: number }> {
  const total = from.geometry.size;
  const written: Piece[] = [];
  let writtenBytes = 0;
  const report = (phase: RewriteProgress['phase']) => (position: number) =>
    onProgress({ phase, position, total });

  await inLanes(piecesOf(from, ranges), report('write'), signal, async (piece, memory) => {
    const { offset, length, kind } = piece;
    if (kind === 'zero') {
      if (isEmpty) return;
      await to.zero(offset, length, 'cached');
      written.push(piece);
      return;
    }
    const part = memory.subarray(0, length);
    await from.read(part, offset);
    piece.crc = crc32(part);
    await to.write(part, offset, 'cached');
    writtenBytes += length;
    written.push(piece);
  });
  await to.flush();
  await forget?.();
  written.sort((a, b) => a.offset - b.offset);
  await inLanes(written, report('verify'), signal, async (piece, memory) => {
    const { offset, length } = piece;
    if (await holds(to, piece, memory)) return;
    throw new IngestError('VERIFY', `${to.name} reads back other data at ${offset}+${length}`);
  });
  return { writtenBytes };
}

async function holds(
  to: BlockDevice,
  { offset, length, kind, crc }: Piece,
  memory: Uint8Array,
): Promise<boolean> {
  if (kind === 'zero') return holdsZeros(to, { offset, length }, memory);
  const part = memory.subarray(0, length);
  await to.read(part, offset);
  return crc32(part) === crc;
}

const ZEROS = Buffer.alloc(PIECE_LENGTH);

/** A server or a device may not have zeroed what it was asked to: what it does not say to be zeros is read. */
async function holdsZeros(
  to: BlockDevice,
  { offset, length }: ByteRange,
  memory: Uint8Array,
): Promise<boolean> {
  for (const extent of await to.extents(offset, length)) {
    if (extent.kind === 'zero') continue;
    const end = extent.offset + extent.length;
    for (let at = extent.offset; at < end; at += PIECE_LENGTH) {
      const part = memory.subarray(0, Math.min(PIECE_LENGTH, end - at));
      await to.read(part, at);
      if (ZEROS.compare(part, 0, part.length, 0, part.length) !== 0) return false;
    }
  }
  return true;
}

/** Whether two disks hold the same, byte by byte; stops at the first difference. */
export async function areSame(
  one: BlockDevice,
  other: BlockDevice,
  { signal, onProgress }: Pick<RewriteOptions, 'signal' | 'onProgress'>,
): Promise<boolean> {
  const total = one.geometry.size;
  if (other.geometry.size !== total) return false;
  const report = (position: number): void => onProgress({ phase: 'verify', position, total });
  const different = new AbortController();
  const stop = AbortSignal.any(signal ? [signal, different.signal] : [different.signal]);
  try {
    await inLanes(piecesOf(one, undefined), report, stop, async (piece, memory) => {
      if (!(await isSame(one, other, piece, memory))) different.abort();
    });
  } catch (cause) {
    if (!different.signal.aborted) throw cause;
  }
  return !different.signal.aborted;
}

async function isSame(
  one: BlockDevice,
  other: BlockDevice,
  piece: Piece,
  memory: Uint8Array,
): Promise<boolean> {
  const { offset, length, kind } = piece;
  if (kind === 'zero') return holdsZeros(other, piece, memory);
  const [first, second] = [memory.subarray(0, length), Buffer.alloc(length)];
  await Promise.all([one.read(first, offset), other.read(second, offset)]);
  return second.equals(first);
}

async function* piecesOf(
  disk: BlockDevice,
  ranges: readonly ByteRange[] = [{ offset: 0, length: disk.geometry.size }],
): AsyncGenerator<Piece> {
  for (const range of ranges) {
    const end = range.offset + range.length;
    for (let look = range.offset; look < end; look += LOOK_LENGTH) {
      const extents = await disk.extents(look, Math.min(LOOK_LENGTH, end - look));
      for (const { offset, length, kind } of extents) {
        const step = kind === 'zero' ? length : PIECE_LENGTH;
        for (let at = offset; at < offset + length; at += step) {
          yield { offset: at, length: Math.min(step, offset + length - at), kind, crc: 0 };
        }
      }
    }
  }
}

/** Works on several pieces at once, each lane with memory of its own. */
async function inLanes(
  pieces: AsyncGenerator<Piece> | Iterable<Piece>,
  report: (position: number) => void,
  signal: AbortSignal | undefined,
  work: (piece: Piece, memory: Uint8Array) => Promise<void>,
): Promise<void> {
  const queue = Symbol.asyncIterator in pieces ? pieces : fromIterable(pieces);
  const failed = new AbortController();
  const stop = AbortSignal.any(signal ? [signal, failed.signal] : [failed.signal]);
  async function lane(): Promise<void> {
    const memory = new Uint8Array(PIECE_LENGTH);
    try {
      for (;;) {
        stop.throwIfAborted();
        const { value, done } = await queue.next();
        if (done === true) return;
        await work(value, memory);
        report(value.offset + value.length);
      }
    } catch (cause) {
      failed.abort(cause);
      throw cause;
    }
  }
  // All lanes end before this does: their memory and the target are in use until then.
  const ends = await Promise.allSettled(Array.from({ length: LANES }, lane));
  const failure = ends.find((it) => it.status === 'rejected');
  if (failure) throw failure.reason;
}

async function* fromIterable(pieces: Iterable<Piece>): AsyncGenerator<Piece> {
  yield* pieces;
}
