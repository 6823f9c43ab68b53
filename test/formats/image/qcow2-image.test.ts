import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { decodeQcow2Header } from '../../../src/formats/image/qcow2.ts';
import {
  emptyQcow2,
  type NewQcow2,
  newQcow2,
  qcow2TablesLength,
} from '../../../src/formats/image/qcow2-image.ts';
import { viewOf } from '../../../src/lib/bytes.ts';

// What QEMU says of such images, and that it finds in them what was written: test/hypervisors/restores.ts.

const KIB = 1024;
const CLUSTER = 64 * KIB;

test('clusters follow each other as they are first written, and stay where they are', async () => {
  const image = newQcow2(2 ** 30, 3 * CLUSTER + 1);
  deepEqual(image.place(10 * CLUSTER + 100, CLUSTER), [
    { offset: 10 * CLUSTER + 100, length: CLUSTER, at: 4 * CLUSTER + 100 },
  ]);
  deepEqual(image.place(9 * CLUSTER, 3 * CLUSTER), [
    { offset: 9 * CLUSTER, length: CLUSTER, at: 6 * CLUSTER },
    { offset: 10 * CLUSTER, length: 2 * CLUSTER, at: 4 * CLUSTER },
  ]);
  deepEqual(image.find(0, 2 ** 20), [
    { offset: 0, length: 9 * CLUSTER, at: undefined },
    { offset: 9 * CLUSTER, length: CLUSTER, at: 6 * CLUSTER },
    { offset: 10 * CLUSTER, length: 2 * CLUSTER, at: 4 * CLUSTER },
    { offset: 12 * CLUSTER, length: 4 * CLUSTER, at: undefined },
  ]);
});

test('the header comes last, and no table lies over data or what was there before', async () => {
  for (const size of [512, 64 * KIB, 2 ** 30 + 512, 2 ** 44]) {
    const image = newQcow2(size, 5 * CLUSTER);
    const data = image.place(0, 512)[0]!.at;
    const tables = image.tables();
    const header = tables.header(size);
    equal(header.at, 0);
    deepEqual(decodeQcow2Header(header.bytes), {
      ...{ version: 3, size, isEncrypted: false },
      ...{ backing: undefined, backingFormat: undefined, dataFile: undefined },
    });
    for (const { at } of tables.parts) ok(at > data!);
    // Only what it says of the size differs, and QEMU accepts no larger disk than the L1 table has room for.
    const claimed = tables.header(image.claimMax).bytes;
    equal(decodeQcow2Header(claimed)?.size, image.claimMax);
    deepEqual(claimed.subarray(32), header.bytes.subarray(32));
    const entries = viewOf(claimed).getUint32(36);
    ok(image.claimMax / 2 ** bitsOf(image) / (2 ** bitsOf(image) / 8) <= entries);
  }
});

test('an empty layer names the raw disk below it, and its header comes last', async () => {
  const source = `nbd+unix:///web1-vda?socket=/run/${'é'.repeat(40)}/web1.sock`;
  for (const size of [2 ** 20, 2 ** 40]) {
    const parts = emptyQcow2(size, source);
    const last = parts.at(-1)!;
    equal(last.at, 0);
    deepEqual(decodeQcow2Header(last.bytes), {
      ...{ version: 3, size, isEncrypted: false, dataFile: undefined },
      ...{ backing: source, backingFormat: 'raw' },
    });
    ok(parts.slice(0, -1).every(({ at }) => at >= last.bytes.length));
  }
  const without = decodeQcow2Header(
    newQcow2(2 ** 20, 0)
      .tables()
      .header(2 ** 20).bytes,
  );
  deepEqual([without?.backing, without?.backingFormat], [undefined, undefined]);
});

test('what a file needs besides its data is known before', async () => {
  for (const [size, step] of [
    [512, 512],
    [2 ** 24, CLUSTER],
    [2 ** 34, 2 ** 30],
    [2 ** 44, 2 ** 40],
  ] as const) {
    const image = newQcow2(size, 4 * CLUSTER);
    let data = 0;
    for (let at = 0; at < size; at += step) data += image.place(at, Math.min(step, 512))[0]!.length;
    const clusters = Math.ceil(size / step);
    const ends = image.tables().parts.map(({ at, bytes }) => at + bytes.length);
    const cluster = 2 ** bitsOf(image);
    const needed = qcow2TablesLength(size, clusters * cluster);
    ok(data > 0 && Math.max(...ends) <= clusters * cluster + needed, `${size}`);
    ok(needed <= clusters * cluster + 2 ** 24, `${size}`);
  }
});

test('a large disk has larger clusters, so that what is remembered of it stays small', async () => {
  const sizes = [2 ** 40, 2 ** 41, 2 ** 45, 2 ** 50];
  deepEqual(
    sizes.map((size) => bitsOf(newQcow2(size, 0))),
    [16, 17, 21, 21],
  );
});

function bitsOf(image: NewQcow2): number {
  return viewOf(image.tables().header(image.claimMax).bytes).getUint32(20);
}
