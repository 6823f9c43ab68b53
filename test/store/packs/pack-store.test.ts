import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { readPoint } from '../../../src/catalog/points.ts';
import type { OpenSet } from '../../../src/catalog/sets.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { checkPacks } from '../../../src/store/check/check.ts';
import type { Problem } from '../../../src/store/check/problem.ts';
import type { Store } from '../../../src/store/directory/store.ts';
import { packFiles } from '../../../src/store/packs/pack-files.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { readAll } from '../../block/conformance.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { memoryPacks, packMemory } from '../../support/memory-packs.ts';
import { noise, seeded } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { packStoreConforms } from './conformance.ts';

const SIZE = 3 * 2 ** 20;

test('packs as files of a simulated disk', async ({ test: sub }) => {
  packStoreConforms(sub, async () => {
    const { files } = crashingFs(seeded(1));
    await files.makeDirectory('/store/packs');
    const again = () => packFiles(simulatedWorld(files), '/store/packs', 'id');
    return { packs: again(), again };
  });
});

test('packs as files', async ({ test: sub }) => {
  packStoreConforms(sub, async () => {
    const directory = `${temporaryDirectory()}/packs`;
    const files = realFileSystem();
    await files.makeDirectory(directory);
    const again = () => packFiles(simulatedWorld(files), directory, 'id');
    return { packs: again(), again };
  });
});

test('packs in memory', async ({ test: sub }) => {
  packStoreConforms(sub, async () => {
    const memory = packMemory();
    const again = () => memoryPacks(memory);
    return { packs: again(), again };
  });
});

async function contentsOf(store: Store, set: OpenSet, { disks }: PointRecord): Promise<Uint8Array> {
  const { clock } = store;
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22, threads: 1, clock });
  await using disk = manifestDisk(reader, { name: 'vda', root: disks[0]!, keys: set.keys });
  return await readAll(disk);
}

test('a store whose packs are not files takes backups, reads them, and stores again what it lost', async () => {
  const world = simulatedWorld();
  const memory = packMemory();
  const { store: whole, set } = await newStore(world, { passphrase: 'secret' });
  const store: Store = { ...whole, packs: memoryPacks(memory) };
  const first = noise(SIZE, 1);
  const one = await storePoint(store, set, first, { packLength: 2 ** 20 });
  const second = first.slice();
  second.set(noise(5000, 2), 70_000);
  const two = await storePoint(store, set, second);
  ok(memory.sealed.size > 2);
  ok(memory.last > 0);
  deepEqual(await contentsOf(store, set, await readPoint(store, set, one.id)), first);
  deepEqual(await contentsOf(store, set, two), second);
  deepEqual(await world.files.list(`${store.directory}/packs`), [], 'no pack is a file');

  memory.sealed.delete(1);
  await rejects(contentsOf(store, set, one), { code: 'CORRUPT' });
  ok(memory.wanted.size > 0);
  const three = await storePoint(store, set, second);
  for (const point of [two, three]) deepEqual(await contentsOf(store, set, point), second);
  const problems: Problem[] = [];
  const checked = await checkPacks(store.packs, {
    readData: true,
    keysOf: () => set.keys,
    signal: undefined,
    onProgress() {},
    onProblem: (problem) => void problems.push(problem),
  });
  deepEqual(problems, []);
  equal(checked.packs, memory.sealed.size);
});
