import { assert } from '../lib/assert.ts';
import { KiB } from '../lib/sizes.ts';

/**
 * Decoded blocks, in memory that decode workers share with us, bounded, and shared by all disks of a
 * process. The arena is divided into rows of 256 KiB; a row holds slots of one size, and is given
 * another size only once all its blocks have gone. Rows are evicted whole, those first that were
 * not used since the hand last passed (CLOCK). A row in which a block is being decoded stays.
 *
 * A slot's place may be reused after the next `reserve`: whoever gets one copies in the same tick.
 */
export interface BlockCache {
  readonly arena: SharedArrayBuffer;
  /** The arena to copy from: `Buffer.copy` is twice as fast as `set` from shared memory. */
  readonly memory: Buffer;
  /** Where block `key` begins in the arena, or -1. */
  find(key: number): number;
  /** Makes room for `key`, not findable until `settle`. Undefined: every row is being filled. */
  reserve(key: number, length: number): number | undefined;
  /** The block is decoded, or (`false`) could not be. */
  settle(key: number, decoded: boolean): void;
  readonly rows: number;
}

const ROW_LENGTH = 256 * KiB;
/** Sizes of slots: spans of pages vary, so that a block takes a third more than it needs at worst. */
const SLOT_LENGTHS = [4, 8, 12, 16, 24, 32, 48, 64, 84, 128, 256].map((length) => length * KiB);

interface Row {
  readonly start: number;
  slotLength: number;
  /** Keys of its slots; -1 is free. */
  keys: number[];
  filling: number;
  used: boolean;
}

export function blockCache(length: number): BlockCache {
  const count = Math.max(4, Math.floor(length / ROW_LENGTH));
  const arena = new SharedArrayBuffer(count * ROW_LENGTH);
  const rows: Row[] = Array.from({ length: count }, (_, index) => ({
    start: index * ROW_LENGTH,
    slotLength: 0,
    keys: [],
    filling: 0,
    used: false,
  }));
  /** Key to row and slot, as one number. */
  const places = new Map<number, number>();
  const pending = new Map<number, number>();
  /** The row of each size that still has free slots. */
  const current = new Map<number, Row>();
  let hand = 0;

  function placeOf(row: Row, slot: number): number {
    return row.start + slot * row.slotLength;
  }
  function evict(row: Row): void {
    for (const key of row.keys) if (key !== -1) places.delete(key);
    if (current.get(row.slotLength) === row) current.delete(row.slotLength);
  }
  /** The hand goes round at most twice: the first time it takes the marks away. */
  function freshRow(slotLength: number): Row | undefined {
    for (let step = 0; step < 2 * count; step++) {
      const row = rows[hand]!;
      hand = (hand + 1) % count;
      if (row.filling > 0) continue;
      if (row.used) {
        row.used = false;
        continue;
      }
      evict(row);
      row.slotLength = slotLength;
      row.keys = Array.from({ length: Math.floor(ROW_LENGTH / slotLength) }, () => -1);
      current.set(slotLength, row);
      return row;
    }
    return undefined;
  }
  return {
    arena,
    memory: Buffer.from(arena),
    rows: count,
    find(key) {
      const place = places.get(key);
      if (place === undefined) return -1;
      rows[Math.floor(place / ROW_LENGTH)]!.used = true;
      return place;
    },
    reserve(key, wanted) {
      const slotLength = SLOT_LENGTHS.find((it) => it >= wanted);
      assert(slotLength !== undefined, `block of ${wanted}`);
      let row = current.get(slotLength);
      let slot = row?.keys.indexOf(-1) ?? -1;
      if (slot < 0) {
        row = freshRow(slotLength);
        slot = 0;
      }
      if (!row) return undefined;
      row.keys[slot] = key;
      row.filling++;
      const place = placeOf(row, slot);
      pending.set(key, place);
      return place;
    },
    settle(key, decoded) {
      const place = pending.get(key);
      assert(place !== undefined, `settled twice: ${key}`);
      pending.delete(key);
      const row = rows[Math.floor(place / ROW_LENGTH)]!;
      row.filling--;
      row.used = true;
      if (decoded) places.set(key, place);
      else row.keys[(place - row.start) / row.slotLength] = -1;
    },
  };
}
