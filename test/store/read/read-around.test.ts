import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { readAround } from '../../../src/store/read/read-around.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import type { File, FileSystem } from '../../../src/sys/files/file-system.ts';
import { noise } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, simulatedWriter, storeDisk } from '../../support/store.ts';

const MiB = 2 ** 20;

test('a disk that is read in places close together is read by segments, each once', async () => {
  const { missed } = readAround();
  const order = Array.from({ length: 2000 }, (_, n) => (n * 7919) % 256);
  const fetched = order.filter((segment) => missed(segment) === 'segment');
  equal(fetched.length, 256);
  equal(new Set(fetched).size, 256);
});

test('one that is read all over is not, until a place turns up again', async () => {
  const { missed } = readAround();
  const wasted = Array.from({ length: 2000 }, (_, n) => missed(n * 100)).filter(
    (it) => it === 'segment',
  );
  ok(wasted.length < 100, `${wasted.length} segments for 2000 reads`);
  equal(missed(199_900), 'segment', 'its second read');
  equal(missed(199_900), 'nothing', 'a third');
  equal(missed(5), 'wanted', 'another');
});

test('what is remembered is bounded', async () => {
  const { missed } = readAround();
  equal(missed(0), 'segment');
  equal(missed(0), 'nothing');
  for (let segment = 1; segment <= 8192; segment++) missed(segment);
  equal(missed(0), 'wanted', 'forgotten: a first miss, of a disk that is read all over');
  equal(missed(0), 'segment');
});

/** Notes the hints to the kernel. */
function noting(inner: FileSystem, told: { offset: number; length: number }[]): FileSystem {
  const wrapped = (file: File): File => ({
    ...file,
    willNeed: (offset, length) => void told.push({ offset, length }),
  });
  return { ...inner, open: async (path, access) => wrapped(await inner.open(path, access)) };
}

for (const way of ['at once', 'by waiting'] as const) {
  test(`a read that has to be fetched, ${way}, has the rest of its segment read into the page cache`, async () => {
    const world = simulatedWorld();
    const { store, set } = await newStore(world, { passphrase: 'secret' });
    const contents = noise(3 * MiB, 7);
    const written = await simulatedWriter(store, set);
    const root = await storeDisk(store, set, written, contents);
    await written.commit();
    await written[Symbol.asyncDispose]();

    const told: { offset: number; length: number }[] = [];
    const looked = await openStore({ ...world, files: noting(world.files, told) }, HOME);
    const reader = openBlockReader(looked, { clock: world.clock });
    await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
    const into = new Uint8Array(4096);
    if (way === 'at once') {
      // Opens the packs, and reads the nodes.
      await disk.read(into, 2 * MiB);
      told.length = 0;
    }
    const read = async (offset: number): Promise<void> => {
      if (way === 'by waiting') return disk.read(into, offset);
      ok(disk.tryRead(into, offset, 'medium'));
    };
    await read(MiB + 500_000);
    await new Promise((resolve) => setImmediate(resolve));
    const length = told.reduce((sum, range) => sum + range.length, 0);
    ok(length > MiB && length < 1.1 * MiB, `${length} bytes of a segment of noise`);
    told.length = 0;
    await read(MiB + 300_000);
    await new Promise((resolve) => setImmediate(resolve));
    equal(told.length, 0, 'once is enough');
    // The contents of the page cache are unknown: a large read is worth a hint each time.
    await disk.read(new Uint8Array(MiB), MiB);
    ok(told.length > 0, 'all that is left of the segment');
  });
}
