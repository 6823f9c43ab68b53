import { FormatError } from '../../formats/format-error.ts';
import { type DomainKeys, frameCodec } from '../../formats/store/packs/frame.ts';
import {
  type Location,
  PAGE_LENGTH,
  type Reference,
  rootLevel,
  SEGMENT_LENGTH,
  segmentsPerNode,
} from '../../formats/store/packs/node.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import { nodeReader } from '../nodes/node-reader.ts';
import { hasKey, locationKey, sortedKeys } from '../packs/trust.ts';
import { placesOf } from '../packs/moved-frames.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { markedPlaces } from './marked-places.ts';
import { reason } from './problem.ts';

/*
 * Which parts of a disk need frames that are marked as damaged, or packs that are gone. Only nodes are read, and parts
 * that disks share and that are whole are read once.
 */
export interface HurtDisk {
  /** Blocks that cannot be read, and nodes that hide what is below them. */
  readonly blocks: number;
  readonly nodes: number;
  /** Bytes of the disk that cannot be read. */
  readonly bytes: number;
  /** The first places: offsets in the disk. */
  readonly places: readonly { readonly offset: number; readonly length: number }[];
}

/** Places that are listed one by one. */
const PLACES_MAX = 100;

export interface HurtFinder {
  /** Undefined: it is whole. */
  find(disk: DiskRoot): Promise<HurtDisk | undefined>;
}

/** `marks`: what is missing gets marks. */
export async function hurtFinder(
  packs: PackStore,
  keys: DomainKeys,
  { marks: isMarking }: { readonly marks: boolean },
): Promise<HurtFinder> {
  const nodes = nodeReader(packs, frameCodec(keys));
  const there = new Set(await packs.list());
  const marks = await packs.wanted.list();
  const marked = sortedKeys(
    marks.flatMap(({ pack, frame }) =>
      frame ? [locationKey({ pack, offset: frame.offset })] : [],
    ),
  );
  const whole = markedPlaces();

  async function isThere(reference: Location): Promise<boolean> {
    for await (const place of placesOf(packs.moved, reference)) {
      if (there.has(place.pack) && !hasKey(marked, locationKey(place))) return true;
    }
    return false;
  }
  /** Whether all that is below is whole; `at`: the first segment of the node. */
  async function walk(
    reference: Reference,
    level: number,
    at: number,
    found: Found,
  ): Promise<boolean> {
    if (whole.has(reference, level)) return true;
    let entries;
    try {
      const node = await nodes.node(reference);
      if (node.level !== level) throw new FormatError('CORRUPT', `a node of level ${node.level}`);
      entries = node.entries;
    } catch (cause) {
      reason(cause);
      found.node(at * SEGMENT_LENGTH, segmentsPerNode(level) * SEGMENT_LENGTH);
      return false;
    }
    let isWhole = true;
    for (const entry of entries) {
      if (level === 0) {
        if (await isThere(entry)) continue;
        // Marked, so that the next backup of the same contents stores it again.
        if (isMarking) await packs.want(entry);
        found.block(at * SEGMENT_LENGTH + entry.at * PAGE_LENGTH, entry.span * PAGE_LENGTH);
        isWhole = false;
      } else {
        const first = at + entry.at * segmentsPerNode(level - 1);
        if (!(await walk(entry, level - 1, first, found))) isWhole = false;
      }
    }
    if (isWhole) whole.add(reference, level);
    return isWhole;
  }
  return {
    async find({ size, reference }) {
      const found = foundIn(size);
      if (!reference || (await walk(reference, rootLevel(size), 0, found))) return undefined;
      return found.disk();
    },
  };
}

type Found = ReturnType<typeof foundIn>;

function foundIn(size: number) {
  let blocks = 0;
  let nodes = 0;
  let bytes = 0;
  const places: { offset: number; length: number }[] = [];

  function add(offset: number, of: number): void {
    const length = Math.min(of, size - offset);
    bytes += length;
    const last = places.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else if (places.length < PLACES_MAX) places.push({ offset, length });
  }
  return {
    block(offset: number, length: number): void {
      blocks++;
      add(offset, length);
    },
    node(offset: number, length: number): void {
      nodes++;
      add(offset, length);
    },
    disk: (): HurtDisk => ({ blocks, nodes, bytes, places }),
  };
}
