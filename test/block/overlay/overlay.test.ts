import { deepEqual, ok, rejects, throws } from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { BlockError } from '../../../src/block/block-error.ts';
import { readLayer } from '../../../src/block/layer.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { type Overlay, openOverlay } from '../../../src/block/overlay/overlay.ts';
import type { SpaceGuard } from '../../../src/block/space-guard.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { broken, faultyFs, full, type Operation } from '../../support/faulty-fs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { readAll, writableDeviceConforms } from '../conformance.ts';
import { ROOMY } from '../../support/space.ts';

const root = temporaryDirectory();
const files = realFileSystem();
const clock = systemClock();
let count = 0;

function freshDirectory(): string {
  const directory = join(root, `${count++}`);
  mkdirSync(directory);
  return directory;
}
function overlayOn(base: BlockDevice, directory = freshDirectory(), space = ROOMY) {
  return openOverlay({ files, clock, directory, disk: 'vda', space }, base);
}

writableDeviceConforms(test, (initial) => overlayOn(memoryDevice(Uint8Array.from(initial))));

test('an overlay on an overlay is as good a disk as one', async (t) => {
  writableDeviceConforms(t.test.bind(t) as never, async (initial) =>
    overlayOn(await overlayOn(memoryDevice(Uint8Array.from(initial)))),
  );
});

test('the base of an overlay is never written', async () => {
  const contents = new Uint8Array(20_000).fill(5);
  await using disk = await overlayOn(memoryDevice(contents));
  await disk.zero(100, 15_000, 'cached');
  await disk.write(new Uint8Array(3).fill(1), 17_000, 'durable');
  deepEqual(contents, new Uint8Array(20_000).fill(5));
});

test('a read that fails leaves its memory alone from then on', async () => {
  const base = memoryDevice(new Uint8Array(65_536).fill(1));
  const gate = Promise.withResolvers<void>();
  const damaged = readLayer('damaged', base.geometry, {
    async read(into, offset) {
      if (offset === 0) throw new BlockError('CORRUPT', 'the beginning is gone');
      await gate.promise;
      await base.read(into, offset);
    },
  });
  await using disk = await overlayOn(damaged);
  await disk.write(new Uint8Array(4096).fill(7), 4096, 'cached');
  let isOver = false;
  const into = new Uint8Array(12_288);
  const read = disk.read(into, 0).finally(() => (isOver = true));
  read.catch(() => {});
  await clock.sleep(20);
  ok(!isOver, 'its last part is still being read');
  gate.resolve();
  await rejects(read, { code: 'CORRUPT' });
});

test('a read that is slow in the base never undoes a write', async () => {
  const base = memoryDevice(new Uint8Array(65_536));
  const gate = Promise.withResolvers<void>();
  const slow = readLayer('gated', base.geometry, {
    async read(into, offset) {
      await base.read(into, offset);
      await gate.promise;
    },
  });
  await using disk = await overlayOn(slow);
  const early = disk.read(new Uint8Array(4096), 0);
  const partial = disk.write(new Uint8Array(10).fill(9), 4100, 'cached');
  await disk.write(new Uint8Array(4096).fill(7), 0, 'cached');
  gate.resolve();
  await Promise.all([early, partial]);
  const after = new Uint8Array(4096);
  await disk.read(after, 0);
  deepEqual(after, new Uint8Array(4096).fill(7));
});

test('a closed overlay goes on where it was', async () => {
  const directory = freshDirectory();
  const base = memoryDevice(new Uint8Array(50_000).fill(3));
  let expected: Uint8Array;
  {
    await using disk = await overlayOn(base, directory);
    await disk.write(new Uint8Array(5000).fill(8), 6000, 'cached');
    await disk.zero(20_000, 9000, 'cached');
    expected = await readAll(disk);
  }
  await using again = await overlayOn(base, directory);
  deepEqual(await readAll(again), expected);
  deepEqual(again.written(), [
    { offset: 4096, length: 8192, kind: 'data' },
    { offset: 16_384, length: 4096, kind: 'data' },
    { offset: 20_480, length: 8192, kind: 'zero' },
    { offset: 28_672, length: 4096, kind: 'data' },
  ]);
});

test('a disk of another size is refused', async () => {
  const directory = freshDirectory();
  await (await overlayOn(memoryDevice(new Uint8Array(8192)), directory))[Symbol.asyncDispose]();
  await rejects(overlayOn(memoryDevice(new Uint8Array(4096)), directory), { code: 'CORRUPT' });
});

test('a full pool refuses new pages and takes writes to old ones', async () => {
  let room = 2;
  const space: SpaceGuard = {
    left: async () => 0,
    async full() {},
    tryTake: (bytes) => (room -= bytes / 4096) >= 0,
    async take() {
      const { BlockError } = await import('../../../src/block/block-error.ts');
      throw new BlockError('NO_SPACE', 'full');
    },
  };
  const disk: Overlay = await overlayOn(
    memoryDevice(new Uint8Array(40_960)),
    freshDirectory(),
    space,
  );
  await disk.write(new Uint8Array(8192).fill(1), 0, 'cached');
  await rejects(disk.write(new Uint8Array(4096), 16_384, 'cached'), { code: 'NO_SPACE' });
  await disk.write(new Uint8Array(100).fill(2), 50, 'durable');
  await disk[Symbol.asyncDispose]();
});

test('what fails below is an error of the disk, whichever way it is asked', async () => {
  let failing: Operation | undefined;
  let error = broken;
  const faulty = faultyFs(files, (operation, path) =>
    operation === failing && path.endsWith('.data') ? error(path) : undefined,
  );
  await using disk = await openOverlay(
    { files: faulty, clock, directory: freshDirectory(), disk: 'vda', space: ROOMY },
    memoryDevice(new Uint8Array(2 ** 20)),
  );
  const page = new Uint8Array(4096).fill(6);
  // More than is written or read in this thread.
  const long = new Uint8Array(200_000).fill(6);
  await disk.write(page, 0, 'cached');
  await disk.write(long, 8192, 'cached');
  failing = 'read';
  throws(() => disk.tryRead(new Uint8Array(4096), 0, 'memory'), { name: 'BlockError', code: 'IO' });
  await rejects(disk.read(new Uint8Array(4096), 0), { name: 'BlockError', code: 'IO' });
  failing = 'write';
  for (const from of [page, long, page.subarray(0, 10)]) {
    await rejects(disk.write(from, 8192, 'cached'), { name: 'BlockError', code: 'IO' });
  }
  error = full;
  await rejects(disk.write(page, 8192, 'cached'), { name: 'BlockError', code: 'NO_SPACE' });
  failing = undefined;
  const got = new Uint8Array(4096);
  ok(disk.tryRead(got, 0, 'memory'));
  deepEqual(got, page);
});

test('after a failed flush nothing is written, even where a page was written before', async () => {
  let isFailing = false;
  const faulty = faultyFs(files, (operation, path) =>
    isFailing && operation === 'sync' && path.endsWith('.data') ? broken(path) : undefined,
  );
  const disk = await openOverlay(
    { files: faulty, clock, directory: freshDirectory(), disk: 'vda', space: ROOMY },
    memoryDevice(new Uint8Array(2 ** 20)),
  );
  const page = new Uint8Array(4096).fill(6);
  await disk.write(page, 0, 'durable');
  await disk.write(page, 4096, 'cached');
  isFailing = true;
  await rejects(disk.flush(), { code: 'IO' });
  isFailing = false;
  for (const offset of [0, 4096, 8192]) {
    await rejects(disk.write(page, offset, 'cached'), { code: 'IO', message: /earlier flush/ });
    await rejects(disk.zero(offset, 4096, 'cached'), { code: 'IO', message: /earlier flush/ });
  }
  await rejects(async () => disk[Symbol.asyncDispose](), { code: 'IO' });
});
