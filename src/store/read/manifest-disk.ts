import type { BlockDevice, Extent } from '../../block/block-device.ts';
import { readLayer } from '../../block/layer.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { PAGE_LENGTH, SEGMENT_LENGTH, SEGMENT_PAGES } from '../../formats/store/packs/node.ts';
import type { HurtPlace } from '../../formats/store/packs/wanted.ts';
import { allDone } from '../../lib/all-done.ts';
import type { BlockAddress, BlockReader, ReadDomain } from './block-reader.ts';
import type { Priority } from '../decode/decoder.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import { type Leaf, NO_BLOCK } from './leaf.ts';
import { type LeafMap, leafMap, ZEROS } from './leaf-map.ts';
import { readAhead } from './read-ahead.ts';
import { readAround } from './read-around.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/** A disk as a manifest in the store describes it. */
export interface ManifestDisk extends BlockDevice {
  /**
   * Loads these parts of the disk into the cache, in the order of the packs, after all guests' reads; stops after
   * `limit` bytes. Damaged blocks are skipped: a guest that reads them gets the error.
   */
  prefetch(extents: Iterable<ByteRange>, limit: number, signal: AbortSignal): Promise<number>;
  /** `listener` is called with each block's range when it is first read; undefined ends that. */
  observe(listener: ((range: ByteRange) => void) | undefined): void;
}

export interface ManifestDiskOptions {
  readonly name: string;
  readonly root: DiskRoot;
  readonly keys: DomainKeys;
  /** Named in marks of what is damaged, so that the alarm can say what it hits. */
  readonly hurt?: HurtPlace;
}

const PREFETCHES_AT_ONCE = 16;
/** At this many blocks they are announced again, even if they were before. */
const HINTED_MIN = 8;
/** Several threads decode more than this in less time. */
const READ_NOW_MAX = 128 * 1024;

/** The reader is lent. */
export function manifestDisk(
  reader: BlockReader,
  { name, root, keys, hurt }: ManifestDiskOptions,
): ManifestDisk {
  const { size } = root;
  const { nodes, ...shared } = reader.domain(keys);
  const domain: DiskBlocks = {
    ...shared,
    fetch: (block, priority) => shared.fetch(block, priority, hurt),
  };
  const leaves = leafMap(root, { ...nodes, node: (reference) => nodes.node(reference, hurt) });
  const ahead = readAhead(size);
  const around = readAround();
  const watch = firstReads(size);
  const background = new Set<Promise<unknown>>();
  const stop = new AbortController();

  /** A failed read-ahead is harmless: a later read of the bytes reports the error. */
  function fetchAhead(offset: number, length: number): void {
    const next = ahead.note(offset, length);
    if (!next) return;
    const task = blocksIn(leaves, next)
      .then((blocks) => fetchAll(domain, blocks, stop.signal))
      .catch(() => {})
      .finally(() => background.delete(task));
    background.add(task);
  }
  /** Reads into the page cache only: neighbors of the requested blocks are decoded when they are requested. */
  function announce(segment: number, leaf: Leaf, wanted: readonly BlockAddress[]): void {
    const worth = around.missed(segment);
    if (worth === 'segment') domain.announce(leaf.addresses());
    // The page cache may have forgotten the segment; a hint costs less than it saves a large read.
    else if (worth === 'wanted' || wanted.length >= HINTED_MIN) domain.announce(wanted);
  }
  const device = readLayer(
    name,
    { size, blockSize: PAGE_LENGTH },
    {
      tryRead(into, offset, wanted) {
        const effort = into.length > READ_NOW_MAX ? 'memory' : wanted;
        for (const part of segmentParts(offset, into.length)) {
          const leaf = leaves.tryLeaf(part.segment, effort);
          if (leaf === undefined) return false;
          if (copyNow(domain, leaf, into, part)) continue;
          if (effort === 'memory' || leaf === ZEROS) return false;
          if (!domain.tryFetch(missing(domain, leaf, part))) return false;
          if (!copyNow(domain, leaf, into, part)) return false;
          announce(part.segment, leaf, []);
        }
        watch.note(leaves, offset, into.length);
        fetchAhead(offset, into.length);
        return true;
      },
      async read(into, offset) {
        fetchAhead(offset, into.length);
        const parts = [...segmentParts(offset, into.length)];
        await allDone(
          parts.map(async (part) => {
            const leaf = await leaves.leaf(part.segment);
            if (leaf === ZEROS) into.fill(0, part.at, part.at + part.length);
            else
              await copy(domain, leaf, into, part, (misses) =>
                announce(part.segment, leaf, misses),
              );
          }),
        );
        watch.note(leaves, offset, into.length);
      },
      extents: (offset, length) => extentsOf(leaves, offset, length),
      async close() {
        stop.abort();
        await Promise.all(background);
      },
    },
  );
  return Object.assign(device, {
    observe: watch.observe,
    async prefetch(extents: Iterable<ByteRange>, limit: number, signal: AbortSignal) {
      const blocks: BlockAddress[] = [];
      let length = 0;
      for (const extent of extents) {
        const end = Math.min(extent.offset + extent.length, size);
        const found = await blocksIn(leaves, {
          offset: extent.offset,
          length: end - extent.offset,
        });
        for (const block of found) length += block.plainLength;
        blocks.push(...found);
        if (length > limit || signal.aborted) break;
      }
      await fetchAll(domain, blocks, AbortSignal.any([signal, stop.signal]));
      return length;
    },
  });
}

type DiskBlocks = Omit<ReadDomain, 'nodes'>;

interface Part {
  readonly segment: number;
  /** Offset in the segment. */
  readonly from: number;
  /** Offset in the caller's buffer. */
  readonly at: number;
  readonly length: number;
}

function* segmentParts(offset: number, length: number): Generator<Part> {
  for (let at = 0; at < length; ) {
    const segment = Math.floor((offset + at) / SEGMENT_LENGTH);
    const from = offset + at - segment * SEGMENT_LENGTH;
    const count = Math.min(SEGMENT_LENGTH - from, length - at);
    yield { segment, from, at, length: count };
    at += count;
  }
}

/** Calls `visit` for each stretch of one block, or of zeros (NO_BLOCK); stops when it returns false. */
function eachBlock(
  leaf: Leaf,
  { from, at, length }: Part,
  visit: (block: number, within: number, at: number, count: number) => boolean,
): boolean {
  const end = from + length;
  for (let position = from; position < end; ) {
    const page = Math.floor(position / PAGE_LENGTH);
    const block = leaf.blockOf[page]!;
    let next = page + 1;
    let start = page;
    if (block === NO_BLOCK) {
      while (next < SEGMENT_PAGES && leaf.blockOf[next] === NO_BLOCK) next++;
    } else {
      start = leaf.firstPage[block]!;
      next = start + leaf.pages[block]!;
    }
    const count = Math.min(next * PAGE_LENGTH, end) - position;
    if (!visit(block, position - start * PAGE_LENGTH, at + position - from, count)) return false;
    position += count;
  }
  return true;
}

function copyNow(
  domain: DiskBlocks,
  leaf: Leaf | typeof ZEROS,
  into: Uint8Array,
  part: Part,
): boolean {
  if (leaf === ZEROS) {
    into.fill(0, part.at, part.at + part.length);
    return true;
  }
  return eachBlock(leaf, part, (block, within, at, count) => {
    if (block !== NO_BLOCK) {
      const target = into.subarray(at, at + count);
      return domain.tryCopy(target, leaf.keys[block]!, leaf.tags[block]!, within);
    }
    into.fill(0, at, at + count);
    return true;
  });
}

function missing(domain: DiskBlocks, leaf: Leaf, part: Part): BlockAddress[] {
  const found: BlockAddress[] = [];
  eachBlock(leaf, part, (block) => {
    if (block === NO_BLOCK || domain.has(leaf.keys[block]!, leaf.tags[block]!)) return true;
    found.push(leaf.address(block));
    return true;
  });
  return found;
}

async function copy(
  domain: DiskBlocks,
  leaf: Leaf,
  into: Uint8Array,
  part: Part,
  onMisses: (blocks: readonly BlockAddress[]) => void,
): Promise<void> {
  const misses: { block: BlockAddress; target: Uint8Array; within: number }[] = [];
  eachBlock(leaf, part, (block, within, at, count) => {
    const target = into.subarray(at, at + count);
    if (block === NO_BLOCK) target.fill(0);
    else if (!domain.tryCopy(target, leaf.keys[block]!, leaf.tags[block]!, within)) {
      misses.push({ block: leaf.address(block), target, within });
    }
    return true;
  });
  if (misses.length === 0) return;
  const fetched = allDone(
    misses.map(({ block, target, within }) => fetchAndCopy(domain, target, block, within)),
  );
  onMisses(misses.map(({ block }) => block));
  await fetched;
}

async function fetchAndCopy(
  domain: DiskBlocks,
  into: Uint8Array,
  block: BlockAddress,
  within: number,
): Promise<void> {
  do {
    await domain.fetch(block, 'guest');
    // Under pressure the block may have been evicted again before this turn.
  } while (!domain.tryCopy(into, block.key, block.tag, within));
}

/** The stored blocks of a range, in the order of the disk. */
async function blocksIn(leaves: LeafMap, { offset, length }: ByteRange): Promise<BlockAddress[]> {
  const found: BlockAddress[] = [];
  for (const part of segmentParts(offset, length)) {
    const leaf = await leaves.leaf(part.segment);
    if (leaf === ZEROS) continue;
    eachBlock(leaf, part, (block) => {
      if (block !== NO_BLOCK) found.push(leaf.address(block));
      return true;
    });
  }
  return found;
}

async function fetchAll(
  domain: DiskBlocks,
  blocks: readonly BlockAddress[],
  signal: AbortSignal,
): Promise<void> {
  const priority: Priority = 'background';
  const order = blocks
    .filter(({ key, tag }) => !domain.has(key, tag))
    .sort((a, b) => a.key - b.key);
  let next = 0;
  async function lane(): Promise<void> {
    while (next < order.length && !signal.aborted) {
      await domain.fetch(order[next++]!, priority).catch(() => {});
    }
  }
  await Promise.all(Array.from({ length: PREFETCHES_AT_ONCE }, lane));
}

async function extentsOf(leaves: LeafMap, offset: number, length: number): Promise<Extent[]> {
  const found: Extent[] = [];
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const segment = Math.floor(at / SEGMENT_LENGTH);
    const from = at - segment * SEGMENT_LENGTH;
    const leaf = await leaves.leaf(segment);
    if (leaf === ZEROS) {
      const zeros = Math.max(1, await leaves.zeroSegments(segment));
      const stop = Math.min(end, (segment + zeros) * SEGMENT_LENGTH);
      found.push({ offset: at, length: stop - at, kind: 'zero' });
      at = stop;
      continue;
    }
    const start = at;
    const count = Math.min(SEGMENT_LENGTH - from, end - at);
    eachBlock(leaf, { segment, from, at: 0, length: count }, (block, _within, begin, stretch) => {
      const kind = block === NO_BLOCK ? 'zero' : 'data';
      found.push({ offset: start + begin, length: stretch, kind });
      return true;
    });
    at += count;
  }
  return found;
}

/** Calls a listener for each block that is read for the first time. */
function firstReads(size: number) {
  let listener: ((range: ByteRange) => void) | undefined;
  let seen = new Set<number>();
  /** The number of unreported blocks of each segment: mostly 0, and then there is nothing to look for. */
  let untold = new Map<number, number>();
  return {
    observe(next: ((range: ByteRange) => void) | undefined): void {
      listener = next;
      seen = new Set();
      untold = new Map();
    },
    note(leaves: LeafMap, offset: number, length: number): void {
      if (!listener) return;
      for (const part of segmentParts(offset, length)) {
        const leaf = leaves.tryLeaf(part.segment, 'memory');
        if (!leaf || leaf === ZEROS) continue;
        let left = untold.get(part.segment) ?? leaf.keys.length;
        if (left === 0) continue;
        eachBlock(leaf, part, (block) => {
          if (block === NO_BLOCK) return true;
          const first = part.segment * SEGMENT_PAGES + leaf.firstPage[block]!;
          if (seen.has(first)) return true;
          seen.add(first);
          left--;
          const start = first * PAGE_LENGTH;
          const end = Math.min(size, start + leaf.pages[block]! * PAGE_LENGTH);
          listener?.({ offset: start, length: end - start });
          return true;
        });
        untold.set(part.segment, left);
      }
    },
  };
}
