import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { repairPacks } from '../../../src/store/check/repair-packs.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { nodeCopies } from '../../../src/store/packs/node-copies.ts';
import { removedCopyPath, removedPath } from '../../../src/store/packs/pack-path.ts';
import { livingEntries } from '../../../src/store/packs/swept-packs.ts';
import { HOME, simulatedWorld } from '../../support/store.ts';
import { points, setUp, sweep } from '../sweep/swept.ts';

test('what a sweep has removed does not come back with a repair', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await sweep(files);
  await using store = await openStore(simulatedWorld(files, 6), HOME);
  const { packs } = store;
  const copies = nodeCopies(files, HOME, store.id);

  async function repair() {
    const mended: string[] = [];
    const lost: string[] = [];
    await repairPacks({
      ...{ files, directory: HOME, id: store.id, packs, changed: 'all', hasCopies: true },
      signal: new AbortController().signal,
      onCopyFailed: (what) => void lost.push(what),
      onMended: (where) => void mended.push(where),
      onLost: (where, what) => void lost.push(`${where}: ${what}`),
    });
    return { mended, lost };
  }
  const copied = await copies.list();
  const swept = copied[0]!;
  // As a sweep leaves a pack of nodes: the last is the root of a point that was forgotten.
  const { entries, entriesCrc } = await packs.footer(swept);
  const dead = entries.at(-1)!;
  const bits = new Uint8Array(Math.ceil(entries.length / 8));
  bits[(entries.length - 1) >> 3]! |= 1 << ((entries.length - 1) & 7);
  const frames = { count: entries.length, isGivenBack: true, bits };
  await packs.swept.writeDead({ pack: swept, entriesCrc }, frames);
  {
    await using file = await files.open(packs.path(swept), 'write');
    await file.write(new Uint8Array(dead.length), dead.offset);
  }
  deepEqual(await repair(), { mended: [], lost: [] });

  const [living] = await livingEntries(packs, swept, await packs.footer(swept));
  {
    await using file = await files.open(packs.path(swept), 'write');
    await file.write(Uint8Array.of(0xff), living!.offset + 100);
  }
  deepEqual(await repair(), { mended: [packs.path(swept)], lost: [] });
  equal(await points(files, place), 1);
  const after = new Uint8Array(dead.length);
  await packs.read(after, swept, dead.offset);
  deepEqual(after, new Uint8Array(dead.length), 'what is dead stays so');

  // As if a sweep had needed nothing of it.
  const copy = (await copies.bytes(swept))!;
  await packs.swept.remove([swept]);
  deepEqual(await repair(), { mended: [], lost: [] });
  ok(!(await copies.list()).includes(swept), 'its copy goes with it');

  await copies.write(swept, copy);
  const lists = [removedPath(`${HOME}/packs`, 0), removedCopyPath(`${HOME}/packs`, 0)];
  const [list, listCopy] = lists as [string, string];
  async function flip(path: string): Promise<void> {
    await using file = await files.open(path, 'write');
    await file.write(Uint8Array.of(0xff), 20);
  }
  const listed = await files.readFile(list, 1000);
  for (const path of lists) {
    await flip(path);
    deepEqual(await repair(), { mended: [path], lost: [] });
    deepEqual(await files.readFile(path, 1000), listed);
    ok(!(await copies.list()).includes(swept), 'the other copy says that it was removed');
    await copies.write(swept, copy);
  }
  for (const path of [list, listCopy]) await flip(path);
  const { mended, lost } = await repair();
  deepEqual(mended, []);
  match(lost.join(), /removed: list of removed packs .*; the packs that it listed look missing/);
  match(lost.join(), new RegExp(`whether pack ${swept} was removed is not known`));
  ok(!(await packs.list()).includes(swept));
});

test('packs of blocks are not read, and the lock is taken only for what is written', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await using store = await openStore(simulatedWorld(files, 6), HOME);
  const { id, packs } = store;
  const copies = nodeCopies(files, HOME, id);
  const read: string[] = [];
  let turns = 0;
  async function renew(): Promise<number> {
    const before = turns;
    await repairPacks({
      ...{ directory: HOME, id, packs, changed: 'copies', hasCopies: true },
      files: {
        ...files,
        async readFile(path, max) {
          read.push(path);
          return files.readFile(path, max);
        },
      },
      signal: new AbortController().signal,
      async turn() {
        turns++;
        return { async [Symbol.asyncDispose]() {} };
      },
      ...{ onMended() {}, onLost() {}, onCopyFailed() {} },
    });
    return turns - before;
  }
  const copied = await copies.list();
  ok(copied.length < (await packs.list()).length);
  equal(await renew(), 0);
  deepEqual(
    [...new Set(read)].sort(),
    copied.flatMap((pack) => [packs.path(pack), copies.path(pack)]).sort(),
  );
  await copies.write(copied[0]!, Uint8Array.of(1));
  equal(await renew(), 1);
  equal(await renew(), 0);
});
