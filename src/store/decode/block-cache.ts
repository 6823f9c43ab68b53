import { assert } from '../../lib/assert.ts';
import { KiB } from '../../lib/sizes.ts';

/**
 * Decoded blocks, in memory shared with the decode workers, bounded, and shared by all disks of a process. The arena
 * is divided into rows of 256 KiB; a row holds slots of one size for one encryption domain, and is reassigned only
 * after all its blocks have gone. Rows are evicted whole, beginning with those that were not used since the hand last
 * passed (CLOCK). A row in which a block is being decoded stays.
 *
 * A place in the store identifies a block for as long as its pack exists. A pack may be lost, and an earlier release
 * may have given its number to another pack with other blocks at its places; readers of older points find the blocks
 * where they were moved to. So a block is looked up by its place and by a part of its digest, its `tag`.
 *
 * A slot's place may be reused after the next `reserve`: callers copy in the same tick.
 */
export interface BlockCache {
  readonly arena: SharedArrayBuffer;
  /** The arena to copy from: `Buffer.copy` is twice as fast as `set` from shared memory. */
  readonly memory: Buffer;
  /** The place at which a block of a domain begins in the arena, or -1. */
  find(domain: number, key: number, tag: number): number;
  /** The length of the block at `place`. */
  lengthAt(place: number): number;
  /** Reserves room for a block, which `find` does not return until `settle`. Undefined: every row is being filled. */
  reserve(domain: number, block: CachedBlock): number | undefined;
  /** Call it when the block at `place` was decoded, or (`false`) could not be. */
  settle(place: number, decoded: boolean): void;
  readonly rows: number;
}

export interface CachedBlock {
  readonly key: number;
  readonly tag: number;
  readonly plainLength: number;
}

const ROW_LENGTH = 256 * KiB;
/** Sizes of slots, chosen so that a block wastes at most a third of its length. */
const SLOT_LENGTHS = [4, 8, 12, 16, 24, 32, 48, 64, 84, 128, 256].map((length) => length * KiB);

interface Row {
  readonly start: number;
  domain: number;
  slotLength: number;
  /** Keys of its slots; -1 is free. */
  keys: number[];
  tags: number[];
  /** Lengths of the blocks in its slots. */
  lengths: number[];
  filling: number;
  used: boolean;
}

export function blockCache(length: number): BlockCache {
  const count = Math.max(4, Math.floor(length / ROW_LENGTH));
  const arena = new SharedArrayBuffer(count * ROW_LENGTH);
  const rows: Row[] = Array.from({ length: count }, (_, index) => ({
    start: index * ROW_LENGTH,
    domain: 0,
    slotLength: 0,
    keys: [],
    tags: [],
    lengths: [],
    filling: 0,
    used: false,
  }));
  /** Key to row and slot, as one number. */
  const places = new Map<number, number>();
  const pending = new Set<number>();
  /** The row of each domain and size that still has free slots. */
  const current = new Map<number, Row>();
  let hand = 0;

  function placeOf(row: Row, slot: number): number {
    return row.start + slot * row.slotLength;
  }
  function rowAt(place: number): Row {
    return rows[Math.floor(place / ROW_LENGTH)]!;
  }
  function slotAt(row: Row, place: number): number {
    return (place - row.start) / row.slotLength;
  }
  function evict(row: Row): void {
    row.keys.forEach((key, slot) => {
      if (key !== -1 && places.get(key) === placeOf(row, slot)) places.delete(key);
    });
    const kind = kindOf(row.domain, row.slotLength);
    if (current.get(kind) === row) current.delete(kind);
  }
  /** The hand goes around at most twice: the first time it clears the marks. */
  function freshRow(domain: number, slotLength: number): Row | undefined {
    for (let step = 0; step < 2 * count; step++) {
      const row = rows[hand]!;
      hand = (hand + 1) % count;
      if (row.filling > 0) continue;
      if (row.used) {
        row.used = false;
        continue;
      }
      evict(row);
      row.domain = domain;
      row.slotLength = slotLength;
      row.keys = Array.from({ length: Math.floor(ROW_LENGTH / slotLength) }, () => -1);
      current.set(kindOf(domain, slotLength), row);
      return row;
    }
    return undefined;
  }
  return {
    arena,
    memory: Buffer.from(arena),
    rows: count,
    find(domain, key, tag) {
      const place = places.get(key);
      if (place === undefined) return -1;
      const row = rowAt(place);
      if (row.domain !== domain || row.tags[slotAt(row, place)] !== tag) return -1;
      row.used = true;
      return place;
    },
    lengthAt(place) {
      const row = rowAt(place);
      return row.lengths[slotAt(row, place)]!;
    },
    reserve(domain, { key, tag, plainLength: wanted }) {
      const slotLength = SLOT_LENGTHS.find((it) => it >= wanted);
      assert(slotLength !== undefined, `block of ${wanted}`);
      let row = current.get(kindOf(domain, slotLength));
      let slot = row?.keys.indexOf(-1) ?? -1;
      if (slot < 0) {
        row = freshRow(domain, slotLength);
        slot = 0;
      }
      if (!row) return undefined;
      row.keys[slot] = key;
      row.tags[slot] = tag;
      row.lengths[slot] = wanted;
      row.filling++;
      const place = placeOf(row, slot);
      pending.add(place);
      return place;
    },
    settle(place, decoded) {
      assert(pending.delete(place), `settled twice: ${place}`);
      const row = rowAt(place);
      const slot = slotAt(row, place);
      row.filling--;
      row.used = true;
      if (decoded) places.set(row.keys[slot]!, place);
      else row.keys[slot] = -1;
    },
  };
}

/** One number for each pair; no slot is longer than a row. */
function kindOf(domain: number, slotLength: number): number {
  return domain * 2 * ROW_LENGTH + slotLength;
}
