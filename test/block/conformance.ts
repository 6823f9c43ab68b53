import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type { BlockDevice, WritableBlockDevice } from '../../src/block/block-device.ts';
import { below, pattern, seeded } from '../support/random.ts';

type Test = (name: string, body: () => Promise<void>) => unknown;
type Open<Device> = (initial: Uint8Array) => Promise<Device>;

export interface SuiteOptions {
  /** No multiple of any block size, on purpose, unless a device needs whole sectors. */
  readonly size?: number;
  readonly operations?: number;
}

const SIZE = 130_001;

/** What every device promises. `open` gives a fresh one whose bytes are `initial`. */
export function readableDeviceConforms(
  test: Test,
  open: Open<BlockDevice>,
  { size = SIZE }: SuiteOptions = {},
): void {
  const initial = sparsePattern(size);

  test('reads back what it was made from', async () => {
    await using device = await open(initial);
    equal(device.geometry.size, size);
    deepEqual(await readAll(device), initial);
  });

  test('refuses ranges past its end, and stays usable', async () => {
    await using device = await open(initial);
    for (const [offset, length] of outside(size)) {
      await rejects(device.read(new Uint8Array(length), offset), { code: 'OUT_OF_RANGE' });
      await rejects(device.extents(offset, length), { code: 'OUT_OF_RANGE' });
    }
    deepEqual(await readAll(device), initial);
  });

  test('tryRead answers the same as read, or nothing', async () => {
    await using device = await open(initial);
    const random = seeded(3);
    for (let n = 0; n < 300; n++) {
      const { offset, length } = range(random, size);
      const into = new Uint8Array(length).fill(0xdb);
      const effort = n % 3 === 0 ? 'memory' : 'medium';
      if (!device.tryRead(into, offset, effort)) await device.read(into, offset);
      deepEqual(into, initial.subarray(offset, offset + length));
    }
  });

  test('extents cover the range exactly, and what they call zero reads as zeros', async () => {
    await using device = await open(initial);
    await extentsHold(device, initial);
  });

  test('many reads at once all get their own bytes', async () => {
    await using device = await open(initial);
    const random = seeded(4);
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        const { offset, length } = range(random, size);
        const into = new Uint8Array(length);
        await device.read(into, offset);
        deepEqual(into, initial.subarray(offset, offset + length));
      }),
    );
  });

  test('after close every call fails with CLOSED, and a second close is harmless', async () => {
    const device = await open(initial);
    await device[Symbol.asyncDispose]();
    await device[Symbol.asyncDispose]();
    await rejects(device.read(new Uint8Array(1), 0), { code: 'CLOSED' });
    await rejects(device.extents(0, 1), { code: 'CLOSED' });
  });
}

/** What every writable device promises besides. */
export function writableDeviceConforms(
  test: Test,
  open: Open<WritableBlockDevice>,
  options: SuiteOptions = {},
): void {
  const size = options.size ?? SIZE;
  const initial = sparsePattern(size);
  readableDeviceConforms(test, open, options);

  test('refuses writes past its end', async () => {
    await using device = await open(initial);
    for (const [offset, length] of outside(size)) {
      await rejects(device.write(new Uint8Array(length), offset, 'cached'), {
        code: 'OUT_OF_RANGE',
      });
      await rejects(device.zero(offset, length, 'cached'), { code: 'OUT_OF_RANGE' });
    }
    deepEqual(await readAll(device), initial);
  });

  test('keeps no buffer it was lent', async () => {
    await using device = await open(initial);
    const lent = new Uint8Array(4096).fill(1);
    await device.write(lent, 4096, 'cached');
    lent.fill(0xdb);
    const got = new Uint8Array(4096);
    await device.read(got, 4096);
    ok(got.every((byte) => byte === 1));
  });

  test('takes what it is lent at once, or nothing of it', async () => {
    await using device = await open(initial);
    const model = Uint8Array.from(initial);
    const random = seeded(5);
    for (let n = 0; n < 200; n++) {
      const { offset, length } = range(random, size);
      const isWhole = n % 2 === 0 && size >= 8192;
      const at = isWhole ? 4096 * below(random, Math.floor(size / 4096)) : offset;
      const data = pattern(isWhole ? 4096 : length, n);
      await give(device, data, at);
      model.set(data, at);
      const got = new Uint8Array(data.length);
      await device.read(got, at);
      deepEqual(Buffer.from(got), Buffer.from(data));
    }
    deepEqual(await readAll(device), model);
    for (const [offset, length] of outside(size)) {
      await rejects(give(device, new Uint8Array(length), offset), { code: 'OUT_OF_RANGE' });
    }
  });

  test('close waits for what was taken', async () => {
    const device = await open(initial);
    const ends: number[] = [];
    const gifts = Array.from({ length: 9 }, (_, n) =>
      give(device, pattern(4096, n), n * 4096).then(() => ends.push(n)),
    );
    await device[Symbol.asyncDispose]();
    equal(ends.length, gifts.length);
    await Promise.all(gifts);
  });

  test('partial writes of one block, all at once, lose nothing', async () => {
    await using device = await open(initial);
    const parts = Array.from({ length: 64 }, (_, i) => new Uint8Array(64).fill(i));
    await Promise.all(parts.map((part, i) => device.write(part, i * 64, 'cached')));
    const got = new Uint8Array(4096);
    await device.read(got, 0);
    deepEqual(
      got,
      Uint8Array.from({ length: 4096 }, (_, at) => at >> 6),
    );
  });

  test('a partial write beside a whole one: one after the other, never mixed', async () => {
    for (let n = 0; n < 20; n++) {
      await using device = await open(initial);
      const whole = new Uint8Array(8192).fill(1);
      await Promise.all([
        device.write(new Uint8Array(100).fill(2), 5000, 'cached'),
        device.write(whole, 4096 * (n % 2), 'cached'),
      ]);
      const got = new Uint8Array(4096);
      await device.read(got, 4096);
      const inside = got.subarray(904, 1004);
      ok(inside.every((byte) => byte === inside[0]!) && (inside[0] === 1 || inside[0] === 2));
      got.fill(1, 904, 1004);
      ok(got.every((byte) => byte === 1));
    }
  });

  test('close waits for requests that are under way', async () => {
    const device = await open(initial);
    let isWritten = false;
    const write = device.write(pattern(size), 0, 'cached').then(() => (isWritten = true));
    await device[Symbol.asyncDispose]();
    equal(isWritten, true);
    await write;
  });

  const seed = Number(process.env['SEED'] ?? 1);
  test(`agrees with a plain array over random operations (SEED=${seed})`, async () => {
    await using device = await open(initial);
    const model = await randomOperations(device, initial, seed, options.operations ?? 600);
    deepEqual(await readAll(device), model);
    await extentsHold(device, model);
  });
}

/** Writes as clients of NBD do: what is lent to a device that takes it is used for something else once it has. */
export async function give(
  device: WritableBlockDevice,
  bytes: Uint8Array,
  offset: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lent = Uint8Array.from(bytes);
  const isTaken = device.tryWrite(lent, offset, (failure) =>
    failure === undefined ? resolve() : reject(failure),
  );
  lent.fill(0xee);
  await (isTaken ? promise : device.write(bytes, offset, 'cached'));
}

/** Applies random operations to `device` and to a plain array; returns the array. */
async function randomOperations(
  device: WritableBlockDevice,
  initial: Uint8Array,
  seed: number,
  operations: number,
): Promise<Uint8Array> {
  const model = Uint8Array.from(initial);
  const random = seeded(seed);
  for (let n = 0; n < operations; n++) {
    const { offset, length } = range(random, model.length);
    const durability = random() < 0.05 ? 'durable' : 'cached';
    switch (below(random, 4)) {
      case 0: {
        const data = pattern(length, n);
        await device.write(data, offset, durability);
        model.set(data, offset);
        data.fill(0xdb); // It is ours again.
        break;
      }
      case 1:
        await device.zero(offset, length, durability);
        model.fill(0, offset, offset + length);
        break;
      case 2:
        if (random() < 0.2) await device.flush();
        break;
      default: {
        const got = new Uint8Array(length).fill(0xdb);
        await device.read(got, offset);
        deepEqual(got, model.subarray(offset, offset + length));
      }
    }
  }
  return model;
}

async function extentsHold(device: BlockDevice, model: Uint8Array): Promise<void> {
  const random = seeded(5);
  for (let n = 0; n < 40; n++) {
    const { offset, length } =
      n === 0 ? { offset: 0, length: model.length } : range(random, model.length);
    let at = offset;
    let last: string | undefined;
    for (const extent of await device.extents(offset, length)) {
      equal(extent.offset, at);
      ok(extent.length > 0);
      ok(extent.kind !== last, 'neighbours of one kind');
      last = extent.kind;
      at += extent.length;
      if (extent.kind === 'data') continue;
      ok(model.subarray(extent.offset, at).every((byte) => byte === 0));
    }
    equal(at, offset + length);
  }
}

function outside(size: number): readonly (readonly [number, number])[] {
  return [
    [size, 1],
    [size - 1, 2],
    [-1, 1],
    [2 ** 53, 1],
    [0.5, 1],
  ];
}

function range(random: () => number, size: number): { offset: number; length: number } {
  const offset = below(random, size);
  return { offset, length: 1 + below(random, Math.min(9000, size - offset)) };
}

/** A pattern with holes of whole pages and of odd places. */
export function sparsePattern(size: number): Uint8Array {
  const bytes = pattern(size, 7);
  for (let at = 0; at < size; at += 40_000) bytes.fill(0, at + 8192, at + 8192 + 13_000);
  return bytes;
}

export async function readAll(device: BlockDevice): Promise<Uint8Array> {
  const all = new Uint8Array(device.geometry.size);
  await device.read(all, 0);
  return all;
}
