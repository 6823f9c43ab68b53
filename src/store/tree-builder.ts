import { assert } from '../lib/assert.ts';
import { FRAME_LENGTH_MAX, type FrameCodec, NONCE_LENGTH } from '../formats/store/frame.ts';
import {
  encodeNode,
  FAN_OUT,
  type Node,
  type Reference,
  rootLevel,
  segmentsPerNode,
} from '../formats/store/node.ts';
import type { Random } from '../sys/random.ts';
import type { DiskRoot } from './disk-root.ts';
import type { NodeReader } from './node-reader.ts';
import type { StoreWriter } from './store-writer.ts';

/**
 * Makes a manifest tree from changes that come in the order of the disk. What is not set stays the
 * parent's, by reference and unread: only the nodes above a change are read and written again. One
 * path is open at a time, so that memory does not grow with the disk.
 */
export interface TreeBuilder {
  /** Segment `index` is this leaf now; undefined: it reads as zeros. Ascending. */
  set(index: number, leaf: Reference | undefined): Promise<void>;
  /** Segments `first..first+count` read as zeros. Ascending with `set`. */
  clear(first: number, count: number): Promise<void>;
  /** The parent's leaf at this place, if it has one. */
  parentLeaf(index: number): Promise<Node | undefined>;
  /** Seals and appends a node, unless the store has it. */
  store(node: Node): Reference;
  finish(): Promise<DiskRoot>;
}

export interface TreeBuilderOptions {
  readonly writer: StoreWriter;
  readonly codec: FrameCodec;
  readonly random: Random;
  readonly nodes: NodeReader;
  readonly size: number;
  /** Not larger than the new disk: what lies beyond its end would have to be cut off. */
  readonly parent: DiskRoot | undefined;
}

interface OpenNode {
  readonly level: number;
  readonly index: number;
  readonly children: (Reference | undefined)[];
  readonly original: Reference | undefined;
  changed: boolean;
}

export async function openTreeBuilder(options: TreeBuilderOptions): Promise<TreeBuilder> {
  const { writer, codec, random, nodes, size, parent } = options;
  const top = rootLevel(size);
  assert(!parent || parent.size <= size, 'a parent larger than its child');
  const old = parentTree(parent, nodes);
  /** From the root down; the last is the lowest that is open. */
  const path: OpenNode[] = [];
  let root = old.top === top ? parent?.reference : undefined;
  const frame = new Uint8Array(FRAME_LENGTH_MAX);

  function store(node: Node): Reference {
    const plain = encodeNode(node);
    const digest = codec.digest(plain);
    const known = writer.find(digest);
    if (known) return { ...known, digest };
    const nonce = random.bytes(NONCE_LENGTH);
    const length = codec.seal(plain, frame, { kind: 'node', digest, nonce });
    return { ...writer.append(frame.subarray(0, length), { kind: 'node', digest }), digest };
  }
  function closeLowest(): void {
    const node = path.pop()!;
    const reference = node.changed ? stored(node) : node.original;
    const above = path.at(-1);
    if (above) put(above, node.index, reference);
    else root = reference;
  }
  function stored({ level, children }: OpenNode): Reference | undefined {
    const entries = children.flatMap((child, at) => (child ? [{ ...child, at, span: 1 }] : []));
    return entries.length > 0 ? store({ level, entries }) : undefined;
  }
  function put(node: OpenNode, index: number, reference: Reference | undefined): void {
    const at = index % FAN_OUT;
    if (sameReference(node.children[at], reference)) return;
    node.children[at] = reference;
    node.changed = true;
  }
  /** Opens the nodes above (`level`, `index`) and closes all others. */
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
  async function setNode(level: number, index: number, reference: Reference | undefined) {
    const above = await openAbove(level, index);
    if (above) put(above, index, reference);
    else root = reference;
  }
  // A disk that grew past its old root keeps it, as the first child of new nodes.
  if (parent?.reference && old.top < top) await setNode(old.top, 0, parent.reference);

  return {
    set: (index, leaf) => setNode(0, index, leaf),
    async clear(first, count) {
      // Without a parent what is not set reads as zeros anyway.
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

/** The nodes of the recovery point before, by level and number. */
function parentTree(parent: DiskRoot | undefined, nodes: NodeReader) {
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
  return {
    top,
    async open(level: number, index: number): Promise<OpenNode> {
      const original = await find(level, index);
      const children: (Reference | undefined)[] = Array.from({ length: FAN_OUT });
      for (const entry of original ? (await nodes.node(original)).entries : []) {
        children[entry.at] = entry;
      }
      return { level, index, children, original, changed: false };
    },
    async leaf(index: number): Promise<Node | undefined> {
      const reference = await find(0, index);
      return reference && nodes.node(reference);
    },
  };
}

function fits(at: number, end: number, level: number): boolean {
  const span = segmentsPerNode(level);
  return at % span === 0 && at + span <= end;
}

function sameReference(a: Reference | undefined, b: Reference | undefined): boolean {
  if (!a || !b) return a === b;
  return a.pack === b.pack && a.offset === b.offset && Buffer.compare(a.digest, b.digest) === 0;
}
