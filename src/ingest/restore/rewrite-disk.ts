import { crc32 } from 'node:zlib';
import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import { MiB } from '../../lib/sizes.ts';
import { IngestError } from '../source/ingest-error.ts';

export interface RewriteOptions {
  /** The target reads as zeros: holes need not be written. */
  readonly isEmpty: boolean;
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

interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly kind: 'data' | 'zero';
  /** Checksum of the written data. */
  crc: number;
}

/** Copies `from` over the beginning of `to`, makes it durable, and reads it back. */
export async function rewriteDisk(
  from: BlockDevice,
  to: WritableBlockDevice,
  { isEmpty, signal, onProgress }: RewriteOptions,
): Promise<{ readonly writtenBytes: number }> {
  const total = from.geometry.size;
  const written: Piece[] = [];
  let writtenBytes = 0;
  const report = (phase: RewriteProgress['phase']) => (position: number) =>
    onProgress({ phase, position, total });

  await inLanes(piecesOf(from), report('write'), signal, async (piece, memory) => {
    const { offset, length, kind } = piece;
    if (kind === 'zero') {
      if (!isEmpty) await to.zero(offset, length, 'cached');
      return;
    }
    const part = memory.subarray(0, length);
    await from.read(part, offset);
    await to.write(part, offset, 'cached');
    piece.crc = crc32(part);
    writtenBytes += length;
    written.push(piece);
  });
  await to.flush();
  written.sort((a, b) => a.offset - b.offset);
  await inLanes(written, report('verify'), signal, async ({ offset, length, crc }, memory) => {
    const part = memory.subarray(0, length);
    await to.read(part, offset);
    if (crc32(part) === crc) return;
    throw new IngestError('VERIFY', `${to.name} reads back other data at ${offset}+${length}`);
  });
  return { writtenBytes };
}

async function* piecesOf(disk: BlockDevice): AsyncGenerator<Piece> {
  const { size } = disk.geometry;
  for (let look = 0; look < size; look += LOOK_LENGTH) {
    const extents = await disk.extents(look, Math.min(LOOK_LENGTH, size - look));
    for (const { offset, length, kind } of extents) {
      const step = kind === 'zero' ? length : PIECE_LENGTH;
      for (let at = offset; at < offset + length; at += step) {
        yield { offset: at, length: Math.min(step, offset + length - at), kind, crc: 0 };
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
