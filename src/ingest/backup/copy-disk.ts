import type { BlockDevice } from '../../block/block-device.ts';
import { SEGMENT_LENGTH } from '../../formats/store/packs/node.ts';
import type { DiskWriter } from '../../store/write/disk-writer.ts';
import type { Slot } from '../../store/write/segment-encoder.ts';
import type { SegmentRange } from '../../store/write/tree-builder.ts';

/** The parts of a disk to read: all of it, or these segments, in ascending order. */
export type Scope =
  | { readonly kind: 'all' }
  | { readonly kind: 'segments'; readonly segments: readonly SegmentRange[] };

export interface CopyOptions {
  readonly scope: Scope;
  readonly signal: AbortSignal | undefined;
  /** Called now and then with the position on the disk, and the bytes read so far. */
  readonly onProgress: (position: number, readBytes: number) => void;
}

/** A stretch of segments: `zero` where the source knows that they read as zeros. */
interface Stretch {
  readonly first: number;
  readonly count: number;
  readonly kind: 'data' | 'zero';
}

/** Number of reads under way: enough to hide a source's latency. */
const READS_MAX = 4;
/** How much of a disk is queried at once; a sparse one is walked in seconds. */
const LOOK_LENGTH = 1024 * SEGMENT_LENGTH;

interface Reading {
  readonly segment: number;
  readonly slot: Slot;
  readonly length: number;
  readonly done: Promise<void>;
}

/** Copies a disk, or parts of it, into the store. Rejects with the signal's reason. */
export async function copyDisk(
  device: BlockDevice,
  writer: DiskWriter,
  { scope, signal, onProgress }: CopyOptions,
): Promise<number> {
  const { size } = device.geometry;
  const reading: Reading[] = [];
  let readBytes = 0;

  async function handOver(): Promise<void> {
    const { segment, slot, length, done } = reading.shift()!;
    try {
      await done;
    } catch (cause) {
      writer.release(slot);
      throw cause;
    }
    writer.segment(segment, slot, length);
    onProgress(segment * SEGMENT_LENGTH + length, readBytes);
  }
  /** Hands over what has been read while it waits: of several disks, each could hold what another waits for. */
  async function lease(): Promise<Slot> {
    const leased = writer.lease();
    try {
      while (reading.length > 0) {
        const slot = await Promise.race([leased, reading[0]!.done.then(() => undefined)]);
        if (slot) return slot;
        await handOver();
      }
    } catch (cause) {
      leased.then(writer.release, () => {});
      throw cause;
    }
    return await leased;
  }
  async function read(segment: number): Promise<void> {
    signal?.throwIfAborted();
    if (reading.length >= READS_MAX) await handOver();
    const slot = await lease();
    const start = segment * SEGMENT_LENGTH;
    const length = Math.min(SEGMENT_LENGTH, size - start);
    const done = device.read(slot.input.subarray(0, length), start);
    // Its failure is handled in its turn.
    done.catch(() => {});
    reading.push({ segment, slot, length, done });
    readBytes += length;
  }
  async function drain(): Promise<void> {
    while (reading.length > 0) await handOver();
  }
  try {
    for await (const { first, count, kind } of stretches(device, scope)) {
      signal?.throwIfAborted();
      if (kind === 'data') {
        for (let at = first; at < first + count; at++) await read(at);
      } else {
        await drain();
        writer.zero(first, count);
        onProgress(Math.min(size, (first + count) * SEGMENT_LENGTH), readBytes);
      }
    }
    await drain();
  } finally {
    // Slots are lent to reads until these settle.
    for (const { slot, done } of reading) {
      await done.catch(() => {});
      writer.release(slot);
    }
  }
  return readBytes;
}

async function* stretches(device: BlockDevice, scope: Scope): AsyncGenerator<Stretch> {
  const { size } = device.geometry;
  const all = { first: 0, count: Math.ceil(size / SEGMENT_LENGTH) };
  for (const { first, count } of scope.kind === 'all' ? [all] : scope.segments) {
    const end = Math.min(size, (first + count) * SEGMENT_LENGTH);
    for (let at = first * SEGMENT_LENGTH; at < end; at += LOOK_LENGTH) {
      yield* segmentsOf(device, at, Math.min(LOOK_LENGTH, end - at));
    }
  }
}

/** `offset` begins a segment. A segment with any data is read whole. */
async function* segmentsOf(
  device: BlockDevice,
  offset: number,
  length: number,
): AsyncGenerator<Stretch> {
  const first = offset / SEGMENT_LENGTH;
  const count = Math.ceil(length / SEGMENT_LENGTH);
  const hasData = new Uint8Array(count);
  for (const extent of await device.extents(offset, length)) {
    if (extent.kind === 'zero') continue;
    const start = Math.floor((extent.offset - offset) / SEGMENT_LENGTH);
    const end = Math.ceil((extent.offset + extent.length - offset) / SEGMENT_LENGTH);
    hasData.fill(1, start, end);
  }
  for (let at = 0; at < count; ) {
    let end = at + 1;
    while (end < count && hasData[end] === hasData[at]) end++;
    yield { first: first + at, count: end - at, kind: hasData[at] === 1 ? 'data' : 'zero' };
    at = end;
  }
}
