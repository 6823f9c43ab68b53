import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, simulatedWriter, storeDisk } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MiB = 2 ** 20;

async function storedNoise(seed: number) {
  const world = simulatedWorld(realFileSystem());
  const home = `${temporaryDirectory()}/store`;
  const { store, set } = await newStore(world, { passphrase: 'secret', home });
  const contents = noise(8 * MiB, seed);
  const writer = await simulatedWriter(store, set);
  const root = await storeDisk(store, set, writer, contents);
  await writer.commit();
  await writer[Symbol.asyncDispose]();
  return { world, store, set, contents, root };
}

test('no read waits for ever, however workers fall asleep and are woken', async () => {
  const { world, store, set, contents, root } = await storedNoise(5);

  // So small that nearly each block is decoded again.
  const options = { cacheLength: MiB, threads: 2, clock: world.clock };
  await using reader = openBlockReader(store, options);
  await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
  async function readSome(from: number, count: number): Promise<void> {
    const into = new Uint8Array(4096);
    for (let n = 0; n < count; n++) {
      const offset = (((from + n) * 7919) % 2047) * 4096;
      await disk.read(into, offset);
      deepEqual(into, contents.subarray(offset, offset + 4096));
    }
  }
  // One at a time: all fall asleep in between. Then several, so that hardly any does.
  await readSome(0, 1500);
  await Promise.all(Array.from({ length: 8 }, (_, lane) => readSome(lane * 250, 400)));
});

test('memory of a block that was not decoded, by whatever fault, is used again', async () => {
  const { store, set, contents, root } = await storedNoise(6);
  let isFaulty = false;
  const packs = {
    ...store.packs,
    read: async (...read: Parameters<typeof store.packs.read>) => {
      if (isFaulty) throw new TypeError('a fault of ours');
      return store.packs.read(...read);
    },
  };
  await using reader = openBlockReader({ ...store, packs }, { cacheLength: MiB });
  await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
  const into = new Uint8Array(4096);
  // Until then its tree is in memory.
  for (let at = 0; at < contents.length; at += 2 * MiB) await disk.read(into, at);
  isFaulty = true;
  for (let at = 0; at < contents.length; at += 4096) await disk.read(into, at).catch(() => {});
  isFaulty = false;
  await disk.read(into, MiB);
  deepEqual(into, contents.subarray(MiB, MiB + 4096));
});
