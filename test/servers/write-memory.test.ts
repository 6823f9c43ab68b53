import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { WritableBlockDevice } from '../../src/block/block-device.ts';
import { writeLayer } from '../../src/block/layer.ts';
import { memoryDevice } from '../../src/block/memory.ts';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { memoryBudget, type MemoryBudget } from '../../src/lib/memory-budget.ts';
import { KiB, MiB } from '../../src/lib/sizes.ts';
import { lookup, read, session, write } from '../support/nfs-calls.ts';
import { rpcClient } from '../support/nfs-client.ts';
import { serveOne } from '../support/nbd-server.ts';
import { pattern } from '../support/random.ts';
import { settled } from '../support/until.ts';

// What waits to be written, because a disk is full or a flush takes its time, is in one bound for all guests of a
// service, whatever they speak.

const SIZE = 24 * MiB;
/** A connection of NFS has its own, and one record beyond it. */
const RECORD = 2 * MiB;

/** Writes wait until it is opened; it knows how much memory they have, for it is lent to it. */
function gated(device: WritableBlockDevice) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const lent = { now: 0, most: 0 };
  const layer = writeLayer('gated', device.geometry, {
    tryRead: device.tryRead,
    read: device.read,
    async write(from, offset, durability) {
      lent.now += from.length;
      lent.most = Math.max(lent.most, lent.now);
      await promise;
      await device.write(from, offset, durability);
      lent.now -= from.length;
    },
    flush: device.flush,
  });
  return { device: layer, open: resolve, lent };
}

/** `count` clients of each protocol that write all of the disk, some MiB each at once. */
async function writers(device: WritableBlockDevice, writes: MemoryBudget, count: number) {
  await using stack = new AsyncDisposableStack();
  const nbd = stack.use(await serveOne(device, { memory: writes }));
  const it = stack.use(await session({ device, writes }));
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  const contents = pattern(SIZE);
  const part = SIZE / (2 * count);
  const work: Promise<unknown>[] = [];
  for (let n = 0; n < 2 * count; n++) {
    const pieces = Array.from({ length: part / MiB }, (_, at) => n * part + at * MiB);
    if (n % 2 === 0) {
      const disk = stack.use(await openNbdDisk(nbd.uri));
      for (const at of pieces) {
        work.push(disk.write(contents.subarray(at, at + MiB), at, 'cached'));
      }
    } else {
      const client = stack.use(await rpcClient(it.server.target.ports.nfs));
      for (const at of pieces) {
        const data = contents.subarray(at, at + MiB);
        work.push(
          write(client, handle, { at, data, stable: 0 }).then(({ status }) => equal(status, 0)),
        );
      }
    }
  }
  const owned = stack.move();
  return { work, contents, handle, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

// A19
test('writes of all clients over NBD and NFS that wait are in one bound, and none is lost', async () => {
  const count = 4;
  const own = 256 * KiB;
  const max = 4 * MiB;
  const writes = memoryBudget({ max, own });
  const contents = new Uint8Array(SIZE);
  const { device, open, lent } = gated(memoryDevice(contents));
  {
    await using it = await writers(device, writes, count);
    await settled(() => writes.held);
    const bound = max + 2 * count * own + count * RECORD;
    ok(lent.now > 0 && lent.now <= writes.held, `${lent.now} of ${writes.held} are counted`);
    ok(writes.held <= bound, `${writes.held} bytes, at most ${bound}`);
    open();
    await Promise.all(it.work);
    ok(lent.most <= bound, `${lent.most} bytes at once`);
    deepEqual(contents, it.contents);
  }
  await settled(() => writes.held);
  equal(writes.held, 0, 'all of it is given back');
});

test('while writes over NBD and NFS wait, a client of another disk writes over NFS, and reads', async () => {
  const writes = memoryBudget({ max: 4 * MiB, own: 256 * KiB });
  const stuck = gated(memoryDevice(new Uint8Array(SIZE)));
  await using waiting = await writers(stuck.device, writes, 4);
  await settled(() => writes.held);
  const contents = new Uint8Array(8 * MiB);
  await using other = await session({ device: memoryDevice(contents), writes });
  const { handle } = await lookup(other.client, other.directory, 'vda.raw');
  const expected = pattern(contents.length);
  for (let at = 0; at < expected.length; at += MiB) {
    const data = expected.subarray(at, at + MiB);
    equal((await write(other.client, handle, { at, data, stable: 0 })).status, 0);
  }
  deepEqual(contents, expected);
  equal((await read(other.client, handle, 0, MiB)).count, MiB);
  stuck.open();
  await Promise.all(waiting.work);
});

test('an NFS client that leaves in the middle of a write, or while it waits, gives its memory back', async () => {
  const writes = memoryBudget({ max: 16 * MiB, own: 256 * KiB });
  const stuck = gated(memoryDevice(new Uint8Array(SIZE)));
  const it = await session({ device: stuck.device, writes });
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  const leaving = await rpcClient(it.server.target.ports.nfs);
  const gone = write(leaving, handle, { at: 0, data: pattern(MiB), stable: 0 }).catch(() => 'gone');
  await settled(() => writes.held);
  ok(stuck.lent.now === MiB);
  // A record of 1 MiB, of which half comes.
  leaving.send(Buffer.from([0x80, 0x10, 0, 0]));
  leaving.send(pattern(MiB / 2));
  const before = writes.held;
  await settled(() => writes.held);
  ok(writes.held > before, 'what is not whole is counted');
  await leaving[Symbol.asyncDispose]();
  equal(await gone, 'gone');
  await settled(() => writes.held);
  ok(writes.held >= MiB && writes.held < before + 64 * KiB, 'what is being written is in memory');
  stuck.open();
  await it[Symbol.asyncDispose]();
  await settled(() => writes.held);
  equal(writes.held, 0);
});
