import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { decodeQcow2Header } from '../../../src/formats/image/qcow2.ts';
import { type NewQcow2, newQcow2 } from '../../../src/formats/image/qcow2-image.ts';

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
    equal(tables.at(-1)?.at, 0);
    deepEqual(decodeQcow2Header(tables.at(-1)!.bytes), {
      ...{ version: 3, size, isEncrypted: false },
      ...{ backing: undefined, backingFormat: undefined, dataFile: undefined },
    });
    for (const { at } of tables.slice(0, -1)) ok(at > data);
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
  const { bytes } = image.tables().at(-1)!;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(20);
}
