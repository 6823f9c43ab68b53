import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { checkPacks } from '../../../src/store/check/check.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import { missingPacks } from '../../../src/store/index/missing-packs.ts';
import { memoryIndex } from '../../../src/store/index/block-index.ts';
import { takeStock } from '../../../src/store/index/stock.ts';
import {
  deadPath,
  packPath,
  referencesPath,
  removedCopyPath,
  removedPath,
} from '../../../src/store/packs/pack-path.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { HOME, simulatedWorld, storePoint } from '../../support/store.ts';
import { FIRST, PACK_LENGTH, points, setUp, sweep } from './swept.ts';

const PACKS = `${HOME}/packs`;
const LISTS = [removedPath(PACKS, 0), removedCopyPath(PACKS, 0)];

async function swept() {
  const place = await setUp();
  const { files } = place.disk;
  await sweep(files);
  const store = await openStore(simulatedWorld(files, 6), HOME);
  return { place, files, store, removed: await removedOf(store) };
}

async function removedOf({ packs }: Store): Promise<number[]> {
  return [...(await packs.swept.removed()).numbers].sort((a, b) => a - b);
}

async function flip(files: FileSystem, path: string): Promise<void> {
  await using file = await files.open(path, 'write');
  await file.write(Uint8Array.of(0xff), 20);
}

/** What a writer, and what a check, find wrong. */
async function stock(store: Store): Promise<string[]> {
  const found: string[] = [];
  const onDamage = (where: string, what: string): void => void found.push(`${where}: ${what}`);
  await takeStock(store, memoryIndex(), { onDamage });
  return found;
}

async function check({ packs }: Store): Promise<string[]> {
  const found: string[] = [];
  await checkPacks(packs, {
    ...{ readData: true, signal: undefined, keysOf: () => undefined, onProgress() {} },
    onProblem: ({ where, what }) => void found.push(`${where}: ${what}`),
  });
  return found;
}

test('one copy of the list of removed packs is enough, and the next backup writes the other one again', async () => {
  for (const path of LISTS) {
    const { files, store, removed } = await swept();
    ok(removed.length > 0);
    await flip(files, path);
    deepEqual(await removedOf(store), removed);
    deepEqual(await missingPacks(store), []);
    const found = await check(store);
    deepEqual([found.length, found[0]?.split(': ')[0]], [1, path]);
    match(found[0]!, /fails its checksum; its other copy is whole/);
    match((await stock(store)).join(), /fails its checksum; it is written again from its copy/);
    deepEqual([await check(store), await stock(store)], [[], []]);
    // A crash between the two copies leaves one.
    await files.unlink(path);
    deepEqual([await removedOf(store), await stock(store)], [removed, []]);
  }
});

test('a sweep makes a list again of which both copies are damaged, without the packs that are lost', async () => {
  const { place, files, store, removed } = await swept();
  for (const path of LISTS) await flip(files, path);
  equal((await check(store)).length, 2);
  match((await check(store))[0]!, /the packs that it listed look missing/);
  ok((await missingPacks(store)).length > 0);
  // One that is needed is lost, and one that a crash left is not sealed yet.
  const blocks = await blockPack(store);
  await files.rename(packPath(PACKS, blocks), `${HOME}/away`);
  const left = 1 + (await store.packs.readLast()).last;
  await (await files.create(`${packPath(PACKS, left)}.open`))[Symbol.asyncDispose]();
  await sweep(files);
  deepEqual([await removedOf(store), (await store.packs.swept.removed()).damage], [removed, []]);
  deepEqual(await missingPacks(store), [{ first: blocks, last: blocks }]);
  await files.rename(`${HOME}/away`, packPath(PACKS, blocks));
  equal(await points(files, place), 1);
});

test('nor is it made again while not all is known that is needed', async () => {
  const { files, store } = await swept();
  for (const path of LISTS) await flip(files, path);
  const lists = (await files.list(`${PACKS}/00000`)).filter((name) => name.endsWith('.refs'));
  await files.unlink(`${PACKS}/00000/${lists.at(-1)!}`);
  ok((await sweep(files)).obstacles.length > 0);
  equal((await store.packs.swept.removed()).damage.length, 2);
});

async function blockPack({ packs }: Store): Promise<number> {
  for (const pack of await packs.list()) {
    if ((await packs.footer(pack)).header.kind === 'block') return pack;
  }
  throw new Error('there is none');
}

test('a power cut that brings back a part of what lay beside a removed pack harms nothing', async () => {
  const paths = [packPath, referencesPath, deadPath];
  for (let back = 1; back < 2 ** paths.length; back++) {
    const place = await setUp();
    const { files } = place.disk;
    const unlinked = new Map<string, Uint8Array>();
    const keeping: FileSystem = {
      ...files,
      async unlink(path) {
        unlinked.set(path, await files.readFile(path, 2 ** 27));
        await files.unlink(path);
      },
    };
    await sweep(keeping);
    await using store = await openStore(simulatedWorld(files, 6), HOME);
    const removed = await removedOf(store);
    for (const pack of removed) {
      for (const [n, at] of paths.entries()) {
        const bytes = unlinked.get(at(PACKS, pack));
        if (!bytes || (back & (1 << n)) === 0) continue;
        await using file = await files.create(at(PACKS, pack));
        await file.write(bytes, 0);
        // An earlier sweep may have given back a part of it.
        if (at === packPath) await file.punchHole(4096, 16 * 4096);
      }
    }
    deepEqual(await check(store), [], `back ${back}`);
    await storePoint(store, place.set, FIRST, { packLength: PACK_LENGTH });
    equal(await points(files, place), 2, `back ${back}`);
    deepEqual((await sweep(files)).damage, [], `back ${back}`);
    const there = await store.packs.list();
    deepEqual(
      removed.filter((pack) => there.includes(pack)),
      [],
      `back ${back}`,
    );
    equal(await points(files, place), 2, `back ${back}`);
  }
});
