import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { BlockError } from '../../../src/block/block-error.ts';
import {
  FAN_OUT,
  type Node,
  type Reference,
  SEGMENT_LENGTH,
} from '../../../src/formats/store/packs/node.ts';
import type { NodeReader } from '../../../src/store/nodes/node-reader.ts';
import { NO_BLOCK } from '../../../src/store/read/leaf.ts';
import { leafMap, ZEROS } from '../../../src/store/read/leaf-map.ts';

/** Nodes by the offset in their reference; what is not `ready` has to be waited for. */
function nodes() {
  const known = new Map<number, Node>();
  const state = { ready: true, reads: 0, lost: new Set<number>() };
  const reference = (offset: number): Reference => ({
    ...{ pack: 1, offset, length: 100, digest: new Uint8Array(32).fill(offset) },
  });
  const reader: NodeReader = {
    tryNode: ({ offset }) => (state.ready ? known.get(offset) : undefined),
    async node({ offset }) {
      state.reads++;
      await Promise.resolve();
      if (state.lost.has(offset)) throw new BlockError('CORRUPT', 'a node is lost');
      return known.get(offset)!;
    },
  };
  function put(offset: number, level: number, at: readonly number[], span = 1): Reference {
    const entries = at.map((child) => ({ ...reference(1000 * offset + child), at: child, span }));
    known.set(offset, { level, entries });
    return reference(offset);
  }
  /** An inner node whose children are these. */
  function above(offset: number, level: number, children: ReadonlyMap<number, Reference>) {
    const entries = [...children].map(([at, child]) => ({ ...child, at, span: 1 }));
    known.set(offset, { level, entries });
    return reference(offset);
  }
  return { reader, state, put, above };
}

/** Two levels: a leaf at segment 3 and one at segment 256 + 1, of a disk with 512 segments. */
function tree() {
  const it = nodes();
  const left = it.above(2, 1, new Map([[3, it.put(3, 0, [0, 16], 16)]]));
  const right = it.above(4, 1, new Map([[1, it.put(5, 0, [255])]]));
  const reference = it.above(
    1,
    2,
    new Map([
      [0, left],
      [1, right],
    ]),
  );
  return { ...it, root: { size: 2 * FAN_OUT * SEGMENT_LENGTH, reference } };
}

test('a segment has the leaf that the tree has for it, and zeros where it has none', async () => {
  const { reader, root } = tree();
  const map = leafMap(root, reader);
  const leaf = await map.leaf(3);
  if (leaf === ZEROS) throw new Error('a leaf is missing');
  deepEqual([...leaf.pages], [16, 16]);
  deepEqual([leaf.blockOf[0], leaf.blockOf[15], leaf.blockOf[31]], [0, 0, 1]);
  equal(leaf.blockOf[32], NO_BLOCK);
  equal(await map.leaf(4), ZEROS);
  equal((await map.leaf(FAN_OUT + 1)) === ZEROS, false);
});

test('zeros are counted to the end of the largest part of the tree that is not there', async () => {
  const { reader, root } = tree();
  const map = leafMap(root, reader);
  deepEqual(await Promise.all([3, 4, FAN_OUT + 2].map((at) => map.zeroSegments(at))), [0, 1, 1]);
  const empty = leafMap({ size: root.size, reference: undefined }, reader);
  equal(await empty.zeroSegments(5), FAN_OUT ** 2 - 5);
});

test('what is not in memory is not answered at once, and is read once for all who wait', async () => {
  const { reader, state, root } = tree();
  state.ready = false;
  const map = leafMap(root, reader);
  equal(map.tryLeaf(3, 'medium'), undefined);
  const found = await Promise.all([map.leaf(3), map.leaf(3), map.leaf(3)]);
  equal(state.reads, 3, 'one node of each level');
  equal(new Set(found).size, 1);
  equal(map.tryLeaf(3, 'memory'), found[0], 'it is kept');
});

test('a read that failed is tried again by the next caller', async () => {
  const { reader, state, root } = tree();
  state.ready = false;
  state.lost.add(3);
  const map = leafMap(root, reader);
  await rejects(map.leaf(3), { code: 'CORRUPT' });
  state.lost.clear();
  equal((await map.leaf(3)) === ZEROS, false);
});

test('a node that stands for another level than its own is damage, however it is read', async () => {
  const it = nodes();
  // The root of one leaf says that it is an inner node.
  const reference = it.put(1, 1, [0]);
  for (const ready of [true, false]) {
    it.state.ready = ready;
    const map = leafMap({ size: SEGMENT_LENGTH, reference }, it.reader);
    const read = async () => map.leaf(0);
    await rejects(read(), { code: 'CORRUPT', message: /level 1, not 0/ });
  }
});
