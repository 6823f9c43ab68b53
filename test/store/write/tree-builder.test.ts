import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { frameCodec } from '../../../src/formats/store/packs/frame.ts';
import { FAN_OUT, SEGMENT_LENGTH } from '../../../src/formats/store/packs/node.ts';
import { BlockError } from '../../../src/block/block-error.ts';
import type { DiskRoot } from '../../../src/store/nodes/disk-root.ts';
import { type NodeReader, nodeReader } from '../../../src/store/nodes/node-reader.ts';
import { leafMap, ZEROS } from '../../../src/store/read/leaf-map.ts';
import { openTreeBuilder, type Rewritten } from '../../../src/store/write/tree-builder.ts';
import { newStore, simulatedWorld, simulatedWriter } from '../../support/store.ts';

const SEGMENTS = 2 * FAN_OUT;
const SIZE = SEGMENTS * SEGMENT_LENGTH;

/** Trees over leaves that name one block, whose digest says where they were put. */
async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world);
  const codec = frameCodec(set.keys);
  const writer = await simulatedWriter(store, set);
  const whole = nodeReader(store.packs, codec);
  const seen = { nodes: 0 };
  const nodes: NodeReader = {
    tryNode: (reference, effort) => whole.tryNode(reference, effort),
    async node(reference) {
      seen.nodes++;
      return whole.node(reference);
    },
  };
  interface Change {
    readonly set?: readonly number[];
    readonly clear?: readonly [first: number, count: number];
    readonly parent?: DiskRoot;
    readonly size?: number;
    readonly rewritten?: Rewritten;
    readonly reader?: NodeReader;
  }
  async function build(mark: number, change: Change): Promise<DiskRoot> {
    const { set: segments = [], clear, parent, size = SIZE, rewritten = [] } = change;
    const builder = await openTreeBuilder({
      ...{ writer, codec, random: world.random, nodes: change.reader ?? nodes, size },
      ...{ parent, rewritten },
    });
    for (const segment of segments) {
      const block = { pack: 99, offset: 64, length: 80, digest: new Uint8Array(32).fill(mark) };
      const entries = [{ ...block, at: 0, span: 1 }];
      await builder.set(segment, builder.store({ level: 0, entries }));
    }
    if (clear) await builder.clear(...clear);
    const root = await builder.finish();
    await writer.commit();
    return root;
  }
  /** By segment, the mark of the block in it. */
  async function marks(root: DiskRoot): Promise<Record<number, number>> {
    const map = leafMap(root, whole);
    const found: Record<number, number> = {};
    for (let at = 0; at < root.size / SEGMENT_LENGTH; at++) {
      const leaf = await map.leaf(at);
      if (leaf !== ZEROS) found[at] = leaf.address(0).digest[0]!;
    }
    return found;
  }
  return { build, marks, seen, whole };
}

test('what is not set stays as the parent has it; only what stands above a change is read', async () => {
  const { build, marks, seen } = await place();
  const first = await build(1, { set: [3, 4, FAN_OUT + 1] });
  deepEqual(await marks(first), { 3: 1, 4: 1, [FAN_OUT + 1]: 1 });
  seen.nodes = 0;
  const second = await build(2, { set: [4], parent: first });
  deepEqual(await marks(second), { 3: 1, 4: 2, [FAN_OUT + 1]: 1 });
  equal(seen.nodes <= 3, true, `${seen.nodes} nodes: the root, and what is above segment 4`);
});

test('a tree in which nothing changed is the same tree', async () => {
  const { build } = await place();
  const first = await build(1, { set: [3, FAN_OUT + 1] });
  deepEqual(await build(1, { set: [3], parent: first }), first);
});

test('what was cleared reads as zeros, and a disk of zeros has no tree', async () => {
  const { build, marks } = await place();
  const first = await build(1, { set: [3, 4, FAN_OUT + 1] });
  const second = await build(2, { clear: [4, FAN_OUT - 4], parent: first });
  deepEqual(await marks(second), { 3: 1, [FAN_OUT + 1]: 1 });
  equal((await build(3, { clear: [0, SEGMENTS], parent: first })).reference, undefined);
  equal((await build(4, { clear: [5, 9] })).reference, undefined);
});

test('a disk that grew keeps what it had, in a taller tree', async () => {
  const { build, marks } = await place();
  const small = await build(1, { set: [0], size: SEGMENT_LENGTH });
  const grown = await build(2, { set: [FAN_OUT + 1], parent: small });
  deepEqual(await marks(grown), { 0: 1, [FAN_OUT + 1]: 2 });
});

test('a lost node of the parent is missed only where it is not written again', async () => {
  const { build, marks, whole } = await place();
  const first = await build(1, { set: [3, FAN_OUT + 1] });
  const damaged: NodeReader = {
    tryNode: () => undefined,
    async node(reference) {
      const node = await whole.node(reference);
      if (node.entries.some(({ at }) => at === 3)) throw new BlockError('CORRUPT', 'it is lost');
      return node;
    },
  };
  const change = { set: [4], parent: first, reader: damaged } as const;
  await rejects(build(2, change), { code: 'LOST' });
  const all = { ...change, rewritten: [{ first: 0, count: FAN_OUT }] };
  deepEqual(await marks(await build(2, all)), { 4: 2, [FAN_OUT + 1]: 1 });
});
