import { deepEqual, equal, throws } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import type { Node, NodeEntry } from '../../../src/formats/store/packs/node.ts';
import {
  encodeReferenceList,
  encodeReferences,
  referenceListLengthMax,
  visitReferences,
} from '../../../src/formats/store/packs/reference-list.ts';
import { below, seeded } from '../../support/random.ts';

const LISTED = { pack: 7, entriesCrc: 0xdeadbeef };

function entry(at: number, pack: number, offset: number): NodeEntry {
  return { at, span: 1, pack, offset, length: 100, digest: new Uint8Array(32) };
}

/** The references of the wanted nodes, as text. */
function told(list: Uint8Array, wants: (offset: number) => boolean = () => true): string[] {
  const found: string[] = [];
  visitReferences(list, LISTED, {
    wants: (offset, level) => {
      if (wants(offset)) found.push(`${offset} level ${level}`);
      return wants(offset);
    },
    block: (pack, unit) => void found.push(`block ${pack} ${unit}`),
    node: (pack, offset) => void found.push(`node ${pack} ${offset}`),
  });
  return found;
}

function listOf(nodes: readonly [Node, number][]): Uint8Array {
  return encodeReferenceList(
    LISTED,
    nodes.map(([node, offset]) => encodeReferences(node, offset)),
  );
}

function resealed(bytes: Uint8Array): Uint8Array {
  const end = bytes.length - 4;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

const LEAF: Node = {
  level: 0,
  entries: [entry(0, 3, 32), entry(1, 3, 2047), entry(2, 3, 2048), entry(3, 1, 2 ** 27 - 1)],
};
const INNER: Node = { level: 1, entries: [entry(0, 7, 32), entry(5, 7, 400), entry(6, 2, 33)] };

test('a list names the units of blocks and the places of nodes, each once, in ascending order', async () => {
  const list = listOf([
    [LEAF, 32],
    [INNER, 900],
  ]);
  deepEqual(told(list), [
    '32 level 0',
    'block 1 65535',
    'block 3 0',
    'block 3 1',
    '900 level 1',
    'node 2 33',
    'node 7 32',
    'node 7 400',
  ]);
  deepEqual(
    told(list, (offset) => offset === 900),
    ['900 level 1', 'node 2 33', 'node 7 32', 'node 7 400'],
  );
});

test('a place that no pack can have is left out', async () => {
  const node: Node = { level: 0, entries: [entry(0, 3, 2 ** 27), entry(1, 3, 2 ** 32 - 1)] };
  deepEqual(told(listOf([[node, 32]])), ['32 level 0']);
});

test('a node with all its references in packs of their own is as long as a list may be', async () => {
  const entries = Array.from({ length: 256 }, (_, at) => entry(at, 1000 - at, at));
  const list = listOf([[{ level: 1, entries }, 32]]);
  equal(list.length, referenceListLengthMax(1));
  equal(told(list).length, 257);
});

test('each flipped bit, each cut and the list of another pack is refused', async () => {
  const list = listOf([
    [LEAF, 32],
    [INNER, 900],
  ]);
  for (let bit = 0; bit < list.length * 8; bit++) {
    const bytes = list.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    throws(() => told(bytes), FormatError);
  }
  for (let length = 0; length < list.length; length++) {
    throws(() => told(list.subarray(0, length)), FormatError);
  }
  for (let length = 4; length < list.length; length++) {
    throws(() => told(resealed(list.slice(0, length))), FormatError);
  }
  for (const other of [
    { ...LISTED, pack: 8 },
    { ...LISTED, entriesCrc: 1 },
  ]) {
    throws(
      () => visitReferences(list, other, { wants: () => false, block() {}, node() {} }),
      /belong|another pack/,
    );
  }
});

test('bytes that are checked but senseless are refused, or tell only places (SEED=1)', async () => {
  const random = seeded(1);
  const list = listOf([
    [LEAF, 32],
    [INNER, 900],
  ]);
  for (let round = 0; round < 3000; round++) {
    const bytes = list.slice();
    for (let change = 0; change <= below(random, 3); change++) {
      bytes[16 + below(random, bytes.length - 20)] = below(random, 256);
    }
    try {
      told(resealed(bytes));
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
    }
  }
});
