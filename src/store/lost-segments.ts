import { BlockError } from '../block/block-error.ts';
import { FormatError } from '../formats/format-error.ts';
import { digestKey } from '../formats/store/digest.ts';
import { checkFrame } from '../formats/store/frame.ts';
import {
  type Location,
  type NodeEntry,
  type Reference,
  rootLevel,
  segmentCount,
  segmentsPerNode,
} from '../formats/store/node.ts';
import type { DiskRoot } from './disk-root.ts';
import { placesOf } from './moved-frames.ts';
import type { NodeReader } from './node-reader.ts';
import type { PackFiles } from './pack-files.ts';
import { StoreError } from './store-error.ts';
import type { StoreWriter } from './store-writer.ts';
import type { SegmentRange } from './tree-builder.ts';
import { locationKey } from './trust.ts';

/**
 * What of a disk the store cannot give back any more, as far as is known: segments below nodes that cannot be read,
 * and segments with blocks in lost places. Asked only where `hasLoss`: it reads every node, unless it has found the
 * tree whole before, under the same loss.
 */
export async function lostSegments(
  { size, reference }: DiskRoot,
  { nodes, packs, writer }: LossParts,
): Promise<SegmentRange[]> {
  const found: SegmentRange[] = [];

  async function walk(node: Reference, level: number, index: number): Promise<void> {
    const first = index * segmentsPerNode(level);
    const count = Math.min(segmentsPerNode(level), segmentCount(size) - first);
    try {
      const { entries } = await nodes.node(node);
      if (level > 0) {
        for (const entry of entries) {
          await walk(entry, level - 1, index * segmentsPerNode(1) + entry.at);
        }
      } else if (!(await areThere(entries))) {
        found.push({ first, count });
      }
    } catch (cause) {
      if (!(cause instanceof BlockError) || cause.code !== 'CORRUPT') throw cause;
      found.push({ first, count });
    }
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
  /** What says where a frame went is not authenticated. */
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
  await walk(reference, rootLevel(size), 0);
  if (found.length === 0) await writer.markWhole(reference.digest);
  return found;
}

export interface LossParts {
  readonly nodes: NodeReader;
  readonly packs: PackFiles;
  readonly writer: StoreWriter;
}
