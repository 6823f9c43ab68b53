import { deepEqual, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { type BlockAddress, openBlockReader } from '../../../src/store/read/block-reader.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { noise, pattern } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, simulatedWriter, storeDisk } from '../../support/store.ts';

test('after a pack that could not be sealed no later one is: nodes may name what it held', async () => {
  const sim = simulatedWorld();
  const { store, set } = await newStore(sim);
  let failures = 0;
  const files = faultyFs(sim.files, (what, path) => {
    const isFirst = what === 'sync' && path.includes('00000001.pack') && failures === 0;
    if (isFirst) failures++;
    return isFirst ? broken(path) : undefined;
  });
  await using failing = await openStore({ ...sim, files }, HOME);
  await using writer = await simulatedWriter(failing, set, 2 ** 18);
  const write = async (): Promise<void> => {
    await storeDisk(failing, set, writer, noise(2 ** 20, 1));
    await writer.commit();
  };
  await rejects(write(), { code: 'IO' });
  deepEqual(failures, 1);
  deepEqual(await store.packs.list(), []);
});

test('however much a leaf says that there is to be read, a bounded part of it is announced', async () => {
  const sim = simulatedWorld();
  const { store } = await newStore(sim);
  const announced: number[] = [];
  const packs = {
    ...store.packs,
    willNeed: (_pack: number, _offset: number, length: number) => void announced.push(length),
  };
  await using reader = openBlockReader({ ...store, packs }, { cacheLength: 2 ** 20 });
  const block = (offset: number): BlockAddress => ({
    ...{ pack: 1, offset, length: 2 ** 31, digest: pattern(32), plainLength: 4096 },
    ...{ key: offset, tag: 0 },
  });
  reader.domain(publicKeys()).announce([block(32), block(32 + 2 ** 31)]);
  ok(announced.length > 0);
  ok(
    announced.every((length) => length <= 2 * 2 ** 20),
    String(announced),
  );
});
