import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { WritableBlockDevice } from '../../src/block/block-device.ts';
import { memoryDevice } from '../../src/block/memory.ts';
import { writeFence } from '../../src/block/write-fence.ts';
import { writableDeviceConforms } from './conformance.ts';
import { noise } from '../support/random.ts';

const SIZE = 65_536;

writableDeviceConforms(
  test,
  async (initial) => writeFence(memoryDevice(Uint8Array.from(initial))).device,
);

/** Writes wait until they are let go. */
function slow(disk: WritableBlockDevice) {
  const gate = Promise.withResolvers<void>();
  const waits = async (work: () => Promise<void>): Promise<void> => {
    await gate.promise;
    await work();
  };
  const device: WritableBlockDevice = {
    ...disk,
    tryWrite(from, offset, done) {
      const kept = Uint8Array.from(from);
      void waits(() => disk.write(kept, offset, 'cached')).then(() => done());
      return true;
    },
    write: (...args) => waits(() => disk.write(...args)),
    zero: (...args) => waits(() => disk.zero(...args)),
  };
  return { device, letGo: () => gate.resolve() };
}

test('while the fence is up nothing is written, and all can be read and flushed', async () => {
  const contents = noise(SIZE, 1);
  const disk = memoryDevice(Uint8Array.from(contents));
  const { device, set } = writeFence(disk);
  await set(true);
  await rejects(device.write(noise(512, 2), 0, 'durable'), { code: 'READ_ONLY' });
  await rejects(device.zero(0, 4096, 'cached'), { code: 'READ_ONLY' });
  equal(
    device.tryWrite(noise(512, 2), 0, () => {}),
    false,
  );
  await device.flush();
  const read = new Uint8Array(SIZE);
  await device.read(read, 0);
  deepEqual(read, contents);
  await set(false);
  await device.write(noise(512, 2), 0, 'cached');
  await device.read(read, 0);
  deepEqual(read.subarray(0, 512), noise(512, 2));
});

test('it is up at once, and what was under way is in the disk when that is reported', async () => {
  const { device: disk, letGo } = slow(memoryDevice(new Uint8Array(SIZE)));
  const { device, set } = writeFence(disk);
  const writing = device.write(noise(512, 1), 0, 'cached');
  const zeroing = device.zero(4096, 4096, 'cached');
  let isDone = false;
  ok(device.tryWrite(noise(512, 2), 8192, () => (isDone = true)));
  let isUp = false;
  const setting = Promise.all([set(true), set(true)]).then(() => (isUp = true));
  await rejects(device.write(noise(512, 3), 0, 'cached'), { code: 'READ_ONLY' });
  await new Promise(setImmediate);
  equal(isUp, false);
  letGo();
  await setting;
  ok(isDone);
  const read = new Uint8Array(SIZE);
  await device.read(read, 0);
  deepEqual(read.subarray(0, 512), noise(512, 1));
  deepEqual(read.subarray(8192, 8704), noise(512, 2));
  await Promise.all([writing, zeroing]);
});

test('it can be up from the beginning', async () => {
  const { device } = writeFence(memoryDevice(new Uint8Array(SIZE)), true);
  await rejects(device.write(noise(512, 1), 0, 'cached'), { code: 'READ_ONLY' });
});
