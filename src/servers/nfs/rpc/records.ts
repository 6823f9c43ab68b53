import { type BufferPool, bufferPool } from '../../../lib/buffer-pool.ts';
import { KiB, MiB } from '../../../lib/sizes.ts';
import { LAST_FRAGMENT, RECORD_MARK_LENGTH } from '../../../formats/wire/rpc.ts';

/**
 * Cuts a stream into records (RFC 5531, section 11) of any number of fragments, received in pieces of any size. A
 * record that came in one piece is passed on without copying; others are assembled.
 */
export interface RecordParser {
  /** Parses as much as the limits allow, and returns how far it came. */
  parse(bytes: Uint8Array): number;
  /** Gives back the memory of an incomplete record: nothing follows. */
  drop(): void;
}

export interface RecordState {
  /**
   * Keeps a part of the record, which is otherwise lent until the call returns. Copies the part only if necessary.
   */
  keep(part: Uint8Array): Kept;
  /** Whether all received bytes are used up. */
  readonly isLast: boolean;
}

export interface Kept {
  readonly bytes: Uint8Array;
  /** The bytes must not be used afterwards. */
  release(): void;
}

export interface RecordEvents {
  take(record: Uint8Array, state: RecordState): void;
  mayTake(): boolean;
  /** The stream cannot be understood from here on. */
  broken(): void;
}

/** The largest write, with its headers. */
const RECORD_LENGTH_MAX = 1024 * 1024 + 4096;
/** Real clients send one or two. */
const FRAGMENTS_MAX = 256;
/** Memory for a record grows with the bytes received, not with the length that its mark claims. */
const FIRST_LENGTH = 128 * KiB;
/** Spare buffers of each size, shared by all connections. */
const SPARE_BUFFERS = 8;

export type RecordMemory = Pick<BufferPool, 'take' | 'give'>;

/** Memory for records. Fresh memory for each record would cost more in garbage collections than the copying. */
export function recordMemory(): BufferPool {
  return bufferPool(SPARE_BUFFERS, 2 * MiB);
}

export function recordParser(
  memory: RecordMemory,
  { take, mayTake, broken }: RecordEvents,
): RecordParser {
  const mark = new Uint8Array(RECORD_MARK_LENGTH);
  const markView = new DataView(mark.buffer);
  let markFilled = 0;
  /** Bytes of the current fragment that have not come yet. */
  let missing = 0;
  let isLast = false;
  let fragments = 0;
  /** The record so far, of `filled` bytes. */
  let record = memory.take(0);
  let filled = 0;
  let isBroken = false;
  let isDropped = false;

  function begin(value: number): void {
    isLast = (value & LAST_FRAGMENT) !== 0;
    missing = value & ~LAST_FRAGMENT;
    fragments++;
    if (filled + missing > RECORD_LENGTH_MAX || fragments > FRAGMENTS_MAX) fail();
  }
  function fail(): void {
    isBroken = true;
    broken();
  }
  function put(bytes: Uint8Array): void {
    const needed = filled + bytes.length;
    if (needed > record.length) {
      const whole = isLast ? filled + missing : needed;
      const length = Math.min(whole, Math.max(needed, FIRST_LENGTH, 4 * filled));
      const larger = memory.take(length);
      larger.set(record.subarray(0, filled));
      memory.give(record);
      record = larger;
    }
    record.set(bytes, filled);
    filled = needed;
    missing -= bytes.length;
  }
  function end(isLastOne: boolean): void {
    const whole = record;
    const length = filled;
    let isKept = false;
    record = memory.take(0);
    filled = 0;
    fragments = 0;
    take(whole.subarray(0, length), {
      isLast: isLastOne,
      keep(part) {
        isKept = true;
        return { bytes: part, release: () => memory.give(whole) };
      },
    });
    if (!isKept) memory.give(whole);
  }
  function copied(part: Uint8Array): Kept {
    const own = memory.take(part.length);
    own.set(part);
    return { bytes: own, release: () => memory.give(own) };
  }
  return {
    parse(bytes) {
      let at = 0;
      while (at < bytes.length) {
        if (isBroken) return bytes.length;
        if (missing > 0) {
          const count = Math.min(missing, bytes.length - at);
          put(bytes.subarray(at, at + count));
          at += count;
          if (missing === 0 && isLast) end(at === bytes.length);
          continue;
        }
        if (filled === 0 && !mayTake()) return at;
        while (markFilled < RECORD_MARK_LENGTH && at < bytes.length) {
          mark[markFilled++] = bytes[at++]!;
        }
        if (markFilled < RECORD_MARK_LENGTH) break;
        markFilled = 0;
        begin(markView.getUint32(0));
        if (isBroken) return bytes.length;
        if (isLast && filled === 0 && missing > 0 && missing <= bytes.length - at) {
          const whole = bytes.subarray(at, at + missing);
          at += missing;
          missing = 0;
          fragments = 0;
          take(whole, { isLast: at === bytes.length, keep: copied });
        } else if (missing === 0 && isLast) end(at === bytes.length);
      }
      return at;
    },
    drop() {
      if (isDropped) return;
      isDropped = true;
      // So that parsing ends, too, when `take` calls this.
      isBroken = true;
      memory.give(record);
    },
  };
}
