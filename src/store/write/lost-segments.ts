import { BlockError } from '../../block/block-error.ts';
import { FormatError } from '../../formats/format-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import { checkFrame } from '../../formats/store/packs/frame.ts';
import {
  type Location,
  type NodeEntry,
  type Reference,
  rootLevel,
  segmentCount,
  segmentsPerNode,
} from '../../formats/store/packs/node.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import { placesOf } from '../packs/moved-frames.ts';
import type { NodeReader } from '../nodes/node-reader.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { StoreError } from '../packs/store-error.ts';
import type { StoreWriter } from './store-writer.ts';
import type { SegmentRange } from './tree-builder.ts';
import { locationKey } from '../packs/trust.ts';

/**
 * The parts of a disk that the store is known to have lost: segments below nodes that cannot be read, and segments
 * with blocks in lost places. Called only where `hasLoss`: it reads every node, unless it has found the tree whole
 * before, under the same loss. Shared nodes are read once: a disk may repeat itself, and a tree of an unencrypted set
 * may be forged.
 */
export async function lostSegments(
  { size, reference }: DiskRoot,
  { nodes, packs, writer }: LossParts,
): Promise<SegmentRange[]> {
  /** The lost ranges of inner nodes by their digests, counted from their first segment. */
  const known = new Map<string, readonly SegmentRange[]>();
  let kept = 0;

  async function lostBelow(node: Reference, level: number): Promise<readonly SegmentRange[]> {
    if (level === 0) return lostIn(node, level);
    const key = `${level} ${digestKey(node.digest)}`;
    const before = known.get(key);
    if (before) return before;
    const lost = await lostIn(node, level);
    known.set(key, lost);
    kept += lost.length;
    return lost;
  }
  async function lostIn(node: Reference, level: number): Promise<readonly SegmentRange[]> {
    const whole = [{ first: 0, count: segmentsPerNode(level) }];
    const lost: SegmentRange[] = [];
    try {
      const { entries } = await nodes.node(node);
      if (level === 0) return (await areThere(entries)) ? [] : whole;
      const span = segmentsPerNode(level - 1);
      for (const entry of entries) {
        for (const it of await lostBelow(entry, level - 1)) addRange(lost, it, entry.at * span);
      }
    } catch (cause) {
      if (!(cause instanceof BlockError) || cause.code !== 'CORRUPT') throw cause;
      return whole;
    }
    const isMuch = lost.length > 0 && kept + lost.length > RANGES_MAX;
    return isMuch ? whole : lost;
  }
  async function areThere(entries: readonly NodeEntry[]): Promise<boolean> {
    for (const entry of entries) {
      if (writer.isGood(entry)) continue;
      if (!(await isElsewhere(entry))) return false;
    }
    return true;
  }
  async function isElsewhere(entry: NodeEntry): Promise<boolean> {
    const known = writer.find(entry.digest);
    for await (const place of placesOf(packs.moved, entry)) {
      if (!writer.isGood(place)) continue;
      if (known && locationKey(known) === locationKey(place)) return true;
      if (await isFrameOf(entry, place)) return true;
    }
    return false;
  }
  /** The record of a moved frame is not authenticated. */
  async function isFrameOf({ digest }: NodeEntry, { pack, offset, length }: Location) {
    try {
      const frame = new Uint8Array(length);
      await packs.read(frame, pack, offset);
      return digestKey(checkFrame(frame).digest) === digestKey(digest);
    } catch (cause) {
      if (cause instanceof FormatError || cause instanceof StoreError) return false;
      throw cause;
    }
  }
  if (!reference || writer.isWhole(reference.digest)) return [];
  const found = await lostBelow(reference, rootLevel(size));
  if (found.length === 0) await writer.markWhole(reference.digest);
  const end = segmentCount(size);
  return found
    .filter(({ first }) => first < end)
    .map(({ first, count }) => ({ first, count: Math.min(count, end - first) }));
}

/** The most ranges kept; beyond it a whole node is one range: reading contents again needlessly does no harm. */
const RANGES_MAX = 2 ** 20;

function addRange(ranges: SegmentRange[], { first, count }: SegmentRange, shift: number): void {
  const last = ranges.at(-1);
  const start = first + shift;
  if (last && last.first + last.count === start) {
    ranges[ranges.length - 1] = { first: last.first, count: last.count + count };
  } else ranges.push({ first: start, count });
}

export interface LossParts {
  readonly nodes: NodeReader;
  readonly packs: PackStore;
  readonly writer: StoreWriter;
}
