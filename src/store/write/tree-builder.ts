import { assert } from '../../lib/assert.ts';
import {
  FRAME_LENGTH_MAX,
  type FrameCodec,
  NONCE_LENGTH,
} from '../../formats/store/packs/frame.ts';
import {
  encodeNode,
  FAN_OUT,
  type Location,
  type Node,
  type NodeEntry,
  type Reference,
  rootLevel,
  segmentCount,
  segmentsPerNode,
} from '../../formats/store/packs/node.ts';
import { BlockError } from '../../block/block-error.ts';
import type { Random } from '../../sys/base/random.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import type { NodeReader } from '../nodes/node-reader.ts';
import { StoreError } from '../packs/store-error.ts';
import type { StoreWriter } from './store-writer.ts';

/**
 * Builds a manifest tree from changes that come in the order of the disk. Parts that are not set stay the parent's,
 * by reference and unread: only the nodes above a change are read and written again. One path is open at a time, so
 * that memory does not grow with the disk.
 */
export interface TreeBuilder {
  /** Sets segment `index` to this leaf; undefined: it reads as zeros. Indexes ascend. */
  set(index: number, leaf: StoredReference | undefined): Promise<void>;
  /** Sets segments `first..first+count` to zeros. Ascending together with `set`. */
  clear(first: number, count: number): Promise<void>;
  /** The parent's leaf at this place, if it has one and it can be read. */
  parentLeaf(index: number): Promise<Node | undefined>;
  /** Seals and appends a node, unless the store has it. */
  store(node: StoredNode): StoredReference;
  finish(): Promise<DiskRoot>;
}

export interface TreeBuilderOptions {
  readonly writer: StoreWriter;
  readonly codec: FrameCodec;
  readonly random: Random;
  readonly nodes: NodeReader;
  readonly size: number;
  /** Must not be larger than the new disk: the rest would have to be cut off. */
  readonly parent: DiskRoot | undefined;
  /** Ranges that will certainly be set or cleared, so that the parent's nodes for them may be missing. */
  readonly rewritten: Rewritten;
}

/** Ranges of segments, ascending and disjoint. */
export type Rewritten = 'all' | readonly SegmentRange[];

export interface SegmentRange {
  readonly first: number;
  readonly count: number;
}

/** `was`: the lost place, to which earlier recovery points refer. */
export interface StoredReference extends Reference {
  readonly was?: Location | undefined;
}

export interface StoredNode {
  readonly level: number;
  readonly entries: readonly (NodeEntry & StoredReference)[];
}

interface OpenNode {
  readonly level: number;
  readonly index: number;
  readonly children: (StoredReference | undefined)[];
  readonly original: Reference | undefined;
  changed: boolean;
}

export async function openTreeBuilder(options: TreeBuilderOptions): Promise<TreeBuilder> {
  const { writer, codec, random, nodes, size, parent } = options;
  const top = rootLevel(size);
  assert(!parent || parent.size <= size, 'a parent larger than its child');
  const old = parentTree(parent, nodes, options.rewritten);
  /** Open nodes from the root down. */
  const path: OpenNode[] = [];
  let root = old.top === top ? parent?.reference : undefined;
  const frame = new Uint8Array(FRAME_LENGTH_MAX);

  function store(node: StoredNode): StoredReference {
    const { plain, digest } = encoded(node);
    const was = writer.lostPlace(digest) ?? storeFormer(node);
    const location = writer.find(digest) ?? append(node, plain, digest);
    writer.met(digest, location);
    return { ...location, digest, was };
  }
  /**
   * A node that refers to children at lost places has other bytes, and another digest, than one that refers to the
   * new places: if it is lost too, older points need it in its former shape. Stores that and returns its place.
   */
  function storeFormer({ level, entries }: StoredNode): Location | undefined {
    if (!entries.some(({ was }) => was)) return undefined;
    const former = entries.map((entry) => ({ ...entry, ...entry.was }));
    const node = { level, entries: former };
    const { plain, digest } = encoded(node);
    const lost = writer.lostPlace(digest);
    if (lost) writer.met(digest, append(node, plain, digest), lost);
    return lost ?? writer.find(digest);
  }
  function encoded(node: Node): { readonly plain: Uint8Array; readonly digest: Uint8Array } {
    const plain = encodeNode(node);
    return { plain, digest: codec.digest(plain) };
  }
  function append(node: Node, plain: Uint8Array, digest: Uint8Array): Location {
    const nonce = random.bytes(NONCE_LENGTH);
    const length = codec.seal(plain, frame, { kind: 'node', digest, nonce });
    return writer.append(frame.subarray(0, length), { kind: 'node', digest, node });
  }
  function closeLowest(): void {
    const node = path.pop()!;
    const reference = node.changed ? stored(node) : node.original;
    const above = path.at(-1);
    if (above) put(above, node.index, reference);
    else root = reference;
  }
  function stored({ level, children }: OpenNode): StoredReference | undefined {
    const entries = children.flatMap((child, at) => (child ? [{ ...child, at, span: 1 }] : []));
    return entries.length > 0 ? store({ level, entries }) : undefined;
  }
  function put(node: OpenNode, index: number, reference: StoredReference | undefined): void {
    const at = index % FAN_OUT;
    if (sameReference(node.children[at], reference)) return;
    node.children[at] = reference;
    node.changed = true;
  }
  /** Opens the nodes above (`level`, `index`) and closes the others. */
  async function openAbove(level: number, index: number): Promise<OpenNode | undefined> {
    const wanted = (at: number) => Math.floor(index / segmentsPerNode(at - level));
    while (path.length > 0) {
      const lowest = path.at(-1)!;
      if (lowest.level > level && lowest.index === wanted(lowest.level)) break;
      closeLowest();
    }
    for (let at = (path.at(-1)?.level ?? top + 1) - 1; at > level; at--) {
      path.push(await old.open(at, wanted(at)));
    }
    return path.at(-1);
  }
  async function setNode(level: number, index: number, reference: StoredReference | undefined) {
    const above = await openAbove(level, index);
    if (above) put(above, index, reference);
    else root = reference;
  }
  // A disk that grew past its old root keeps it, as the first child of new nodes.
  if (parent?.reference && old.top < top) await setNode(old.top, 0, parent.reference);

  return {
    set: (index, leaf) => setNode(0, index, leaf),
    async clear(first, count) {
      // Without a parent, parts that are not set read as zeros anyway.
      if (!parent?.reference) return;
      const end = first + count;
      for (let at = first; at < end; ) {
        let level = 0;
        while (level < top && fits(at, end, level + 1)) level++;
        await setNode(level, at / segmentsPerNode(level), undefined);
        at += segmentsPerNode(level);
      }
    },
    parentLeaf: (index) => old.leaf(index),
    store,
    async finish() {
      while (path.length > 0) closeLowest();
      return { size, reference: root };
    },
  };
}

/** The nodes of the previous recovery point, by level and number. Rejects LOST if a needed one is missing. */
function parentTree(parent: DiskRoot | undefined, nodes: NodeReader, rewritten: Rewritten) {
  const top = parent ? rootLevel(parent.size) : -1;

  async function find(level: number, index: number): Promise<Reference | undefined> {
    let reference = parent?.reference;
    const rootIndex = Math.floor(index / segmentsPerNode(Math.max(0, top - level)));
    if (level > top || rootIndex > 0) return undefined;
    for (let above = top; above > level && reference; above--) {
      const child = Math.floor(index / segmentsPerNode(above - 1 - level)) % FAN_OUT;
      const { entries }: Node = await nodes.node(reference);
      reference = entries.find(({ at }) => at === child);
    }
    return reference;
  }
  function isRewritten(level: number, index: number): boolean {
    if (rewritten === 'all') return true;
    const first = index * segmentsPerNode(level);
    const end = Math.min(first + segmentsPerNode(level), segmentCount(parent!.size));
    return rewritten.some((it) => it.first <= first && end <= it.first + it.count);
  }
  return {
    top,
    async open(level: number, index: number): Promise<OpenNode> {
      const children: (Reference | undefined)[] = Array.from({ length: FAN_OUT });
      const node = { level, index, children };
      try {
        const original = await find(level, index);
        for (const entry of original ? (await nodes.node(original)).entries : []) {
          children[entry.at] = entry;
        }
        return { ...node, original, changed: false };
      } catch (cause) {
        if (!isCorrupt(cause)) throw cause;
        if (isRewritten(level, index)) return { ...node, original: undefined, changed: true };
        throw new StoreError('LOST', cause.message, { cause });
      }
    },
    /** Only a hint: the caller replaces the leaf. */
    async leaf(index: number): Promise<Node | undefined> {
      try {
        const reference = await find(0, index);
        return reference && (await nodes.node(reference));
      } catch (cause) {
        if (!isCorrupt(cause)) throw cause;
        return undefined;
      }
    },
  };
}

function isCorrupt(cause: unknown): cause is BlockError {
  return cause instanceof BlockError && cause.code === 'CORRUPT';
}

function fits(at: number, end: number, level: number): boolean {
  const span = segmentsPerNode(level);
  return at % span === 0 && at + span <= end;
}

function sameReference(a: Reference | undefined, b: Reference | undefined): boolean {
  if (!a || !b) return a === b;
  return a.pack === b.pack && a.offset === b.offset && Buffer.compare(a.digest, b.digest) === 0;
}
