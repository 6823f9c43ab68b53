import type { Effort } from '../../block/block-device.ts';
import { BlockError } from '../../block/block-error.ts';
import {
  FAN_OUT,
  type Node,
  type Reference,
  rootLevel,
  segmentsPerNode,
} from '../../formats/store/packs/node.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import { type Leaf, leafOf } from './leaf.ts';
import type { NodeReader } from '../nodes/node-reader.ts';

/** The contents of one segment of a disk: a leaf, or `zeros` where the tree has none. */
export type SegmentContents = Leaf | typeof ZEROS;
export const ZEROS = 'zeros';

/** Maps a segment to its leaf, through the inner nodes; recently used leaves are kept. */
export interface LeafMap {
  /** Undefined: a node on the way is not in memory, or (`medium`) could not be read at once. */
  tryLeaf(segment: number, effort: Effort): SegmentContents | undefined;
  leaf(segment: number): Promise<SegmentContents>;
  /**
   * The number of segments from `segment` on that certainly read as zeros, as far as one look into the tree shows:
   * whole absent subtrees count at once.
   */
  zeroSegments(segment: number): Promise<number>;
}

/** Some 1.5 KiB each: 12 MiB, or 8 GiB of disk in use at once. */
const LEAVES_MAX = 8192;

export function leafMap(root: DiskRoot, nodes: NodeReader): LeafMap {
  const top = rootLevel(root.size);
  const leaves = new Map<number, SegmentContents>();
  const loading = new Map<number, Promise<SegmentContents>>();

  function keep(segment: number, contents: SegmentContents): SegmentContents {
    leaves.set(segment, contents);
    if (leaves.size > LEAVES_MAX) {
      const [oldest] = leaves.keys();
      leaves.delete(oldest!);
    }
    return contents;
  }
  /** The contents of an unencrypted store may be forged: each node must have the level of its position. */
  function checked(node: Node, reference: Reference, level: number): Node {
    if (node.level === level) return node;
    const where = `pack ${reference.pack} at ${reference.offset}`;
    throw new BlockError(
      'CORRUPT',
      `${where}: a manifest node of level ${node.level}, not ${level}`,
    );
  }
  async function nodeAt(reference: Reference, level: number): Promise<Node> {
    return checked(await nodes.node(reference), reference, level);
  }
  /** The child of a node of `level` in which the segment lies. */
  function childOf({ entries }: Node, level: number, segment: number): Reference | undefined {
    const child = childNumber(segment, level);
    return entries.find(({ at }) => at === child);
  }
  /** The reference of the segment's leaf, or the level at which the tree ends above it. */
  async function descend(segment: number): Promise<Reference | number> {
    let reference = root.reference;
    if (!reference) return top + 1;
    for (let level = top; level > 0; level--) {
      reference = childOf(await nodeAt(reference, level), level, segment);
      if (!reference) return level;
    }
    return reference;
  }
  /** As `load`, without waiting. */
  function tryLoad(segment: number): SegmentContents | undefined {
    let reference = root.reference;
    for (let level = top; reference && level >= 0; level--) {
      const node = nodes.tryNode(reference, 'medium');
      if (!node) return undefined;
      checked(node, reference, level);
      if (level === 0) return keep(segment, leafOf(node));
      reference = childOf(node, level, segment);
    }
    return keep(segment, ZEROS);
  }
  async function load(segment: number): Promise<SegmentContents> {
    const found = await descend(segment);
    const contents = typeof found === 'number' ? ZEROS : leafOf(await nodeAt(found, 0));
    return keep(segment, contents);
  }
  function tryLeaf(segment: number, effort: Effort): SegmentContents | undefined {
    const known = leaves.get(segment);
    return known || effort === 'memory' ? known : tryLoad(segment);
  }
  return {
    tryLeaf,
    leaf(segment) {
      // A guest needs these before its blocks.
      const known = tryLeaf(segment, 'medium');
      if (known) return Promise.resolve(known);
      let load_ = loading.get(segment);
      if (!load_) {
        load_ = load(segment).finally(() => loading.delete(segment));
        loading.set(segment, load_);
      }
      return load_;
    },
    async zeroSegments(segment) {
      const found = await descend(segment);
      if (typeof found !== 'number') return 0;
      // The tree ends at `found`: its missing child covers this many segments, aligned.
      const span = segmentsPerNode(found - 1);
      return span - (segment % span);
    },
  };
}

function childNumber(segment: number, level: number): number {
  return Math.floor(segment / segmentsPerNode(level - 1)) % FAN_OUT;
}
