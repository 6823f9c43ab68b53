import { deepEqual, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import {
  encodeNode,
  FAN_OUT,
  type Node,
  type Reference,
  rootLevel,
  SEGMENT_LENGTH,
} from '../../../src/formats/store/packs/node.ts';
import {
  FRAME_LENGTH_MAX,
  frameCodec,
  NONCE_LENGTH,
} from '../../../src/formats/store/packs/frame.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { manifestChecker } from '../../../src/store/check/check.ts';
import { lostSegments } from '../../../src/store/write/lost-segments.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { nodeReader } from '../../../src/store/nodes/node-reader.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { HOME, newStore, simulatedWorld, simulatedWriter } from '../../support/store.ts';

/** The largest disk that there can be. */
const SIZE = Number.MAX_SAFE_INTEGER - (Number.MAX_SAFE_INTEGER % SEGMENT_LENGTH);

/** A tree whose nodes have one child 256 times, down to a leaf with a block that was never stored. */
async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, {});
  const codec = frameCodec(set.keys);
  const writer = await simulatedWriter(store, set);
  function put(node: Node): Reference {
    const plain = encodeNode(node);
    const digest = codec.digest(plain);
    const frame = new Uint8Array(FRAME_LENGTH_MAX);
    const nonce = world.random.bytes(NONCE_LENGTH);
    const length = codec.seal(plain, frame, { kind: 'node', digest, nonce });
    return { ...writer.append(frame.subarray(0, length), { kind: 'node', digest, node }), digest };
  }
  const nowhere = { pack: 77, offset: 64, length: 80, digest: world.random.bytes(32) };
  let child = put({ level: 0, entries: [{ ...nowhere, at: 0, span: 1 }] });
  for (let level = 1; level <= rootLevel(SIZE); level++) {
    const count = level === 5 ? 2 : FAN_OUT;
    const entries = Array.from({ length: count }, (_, at) => ({ ...child, at, span: 1 }));
    child = put({ level, entries });
  }
  await writer.commit();
  await writer[Symbol.asyncDispose]();
  const again = await openStore(world, HOME);
  return { world, store: again, set, root: { size: SIZE, reference: child } };
}

test('a made-up tree is checked in the time of its nodes, however often they name each other', async () => {
  const { store, set, root } = await place();
  const found: string[] = [];
  const checker = manifestChecker(store.packs, set.keys, ({ what }) => void found.push(what));
  await checker.check(root, 'vm/vda');
  deepEqual(found.length, 1);
  ok(found[0]!.includes('is missing'), found[0]);
});

test('a node that stands for another level than its own is found, also where it was met before', async () => {
  const { store, set, root } = await place();
  const found: string[] = [];
  const checker = manifestChecker(store.packs, set.keys, ({ what }) => void found.push(what));
  await checker.check(root, 'vm/vda');
  await checker.check({ ...root, size: SEGMENT_LENGTH }, 'vm/vdb');
  ok(found.at(-1)!.includes('a manifest node has level 5, not 0'), found.at(-1));
});

test('what such a tree has lost is found as quickly, and a read of it fails for its block', async () => {
  const { store, set, root } = await place();
  await using writer = await simulatedWriter(store, set);
  const nodes = nodeReader(store.packs, frameCodec(set.keys));
  const lost = await lostSegments(root, { nodes, packs: store.packs, writer });
  deepEqual(lost, [{ first: 0, count: SIZE / SEGMENT_LENGTH }]);
  await using reader = openBlockReader(store, {});
  await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
  await rejects(disk.read(new Uint8Array(4096), SIZE - SEGMENT_LENGTH), { code: 'CORRUPT' });
});
