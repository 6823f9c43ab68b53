import { equal, ok } from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { forgottenRoots, neededSource } from '../../../src/catalog/removal/needed.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { sweepPacks } from '../../../src/store/sweep/sweep-packs.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs, onlyPowerCuts, PowerCut } from '../../support/crashing-fs.ts';
import { withIndex } from '../../support/index-on-disk.ts';
import { seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { newStore, simulatedWorld, storeIndexed } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { FIRST, keepingHoles, SECOND } from './swept.ts';

/* The index, which LevelDB keeps on a real disk, after a sweep: as it is, and as a power cut may bring it back. */

const HOME = join(temporaryDirectory(), 'store');
const INDEX = join(HOME, 'block-index');
const BEFORE = join(temporaryDirectory(), 'before');

/** The power goes once the first hole was punched. */
function cutAtPunch(files: FileSystem): FileSystem {
  return {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      return {
        ...file,
        async punchHole(offset, length) {
          await file.punchHole(offset, length);
          throw new PowerCut('power cut');
        },
      };
    },
  };
}

async function setUp() {
  rmSync(HOME, { recursive: true, force: true });
  const { files } = crashingFs(seeded(0));
  const world = simulatedWorld(withIndex(files, INDEX));
  const { store, set } = await newStore(world, { home: HOME });
  const first = await storeIndexed(store, set, FIRST);
  const second = await storeIndexed(store, set, SECOND);
  await forgetPoint(store, { set: 'set', id: first.id });
  rmSync(BEFORE, { recursive: true, force: true });
  cpSync(INDEX, BEFORE, { recursive: true });
  return { files, set, second };
}

function bringBackIndex(): void {
  rmSync(INDEX, { recursive: true, force: true });
  cpSync(BEFORE, INDEX, { recursive: true });
}

const CASES = {
  'as it is': { isBack: false, world: (files: FileSystem) => files },
  'brought back by a power cut': { isBack: true, world: (files: FileSystem) => files },
  'brought back by a power cut right after the first hole': { isBack: true, world: cutAtPunch },
  'as it is, after packs were copied': { isBack: false, world: keepingHoles },
  'brought back by a power cut, after packs were copied': { isBack: true, world: keepingHoles },
};

for (const [what, { isBack, world }] of Object.entries(CASES)) {
  test(`no backup refers to what a sweep has removed, with the index ${what}`, async () => {
    const { files, set, second } = await setUp();
    {
      await using store = await openStore(simulatedWorld(world(withIndex(files, INDEX)), 4), HOME);
      await sweepPacks(store, {
        needed: () => neededSource(store, new Map()),
        forgotten: () => forgottenRoots(store),
        removedAt: async () => new Map(),
      }).catch(onlyPowerCuts);
    }
    if (isBack) bringBackIndex();
    await using store = await openStore(simulatedWorld(withIndex(files, INDEX), 5), HOME);
    await storeIndexed(store, set, FIRST);
    const contents = ({ id }: { id: string }) => (id === second.id ? SECOND : FIRST);
    equal((await soundness(files, set, contents, HOME)).length, 2);
  });
}

test('nor to a pack with dead frames whose footer is damaged', async () => {
  const { files, set, second } = await setUp();
  const damage: string[] = [];
  const flip = async (path: string): Promise<void> => {
    await using file = await files.open(path, 'write');
    const byte = new Uint8Array(1);
    const at = (await file.size()) - 10;
    await file.read(byte, at);
    await file.write(Uint8Array.of(byte[0]! ^ 1), at);
  };
  const harmed: string[] = [];
  {
    await using store = await openStore(simulatedWorld(withIndex(files, INDEX), 4), HOME);
    await sweepPacks(store, {
      needed: () => neededSource(store, new Map()),
      forgotten: () => forgottenRoots(store),
      removedAt: async () => new Map(),
    });
    const there = await store.packs.list();
    const swept = (await store.packs.swept.listDead()).filter((pack) => there.includes(pack));
    ok(swept.length > 0);
    harmed.push(...swept.map((pack) => store.packs.path(pack)));
    for (const path of harmed) await flip(path);
  }
  bringBackIndex();
  await using store = await openStore(simulatedWorld(withIndex(files, INDEX), 5), HOME);
  await storeIndexed(store, set, FIRST, (where) => void damage.push(where));
  // The next writer finds an index with the mark of that sweep.
  await storeIndexed(store, set, FIRST, (where) => void damage.push(where));
  equal(damage.length, new Set(damage).size, 'it is reported once');
  ok(
    damage.some((where) => where.endsWith('.pack')),
    damage.join(),
  );
  for (const path of harmed) await flip(path);
  const contents = ({ id }: { id: string }) => (id === second.id ? SECOND : FIRST);
  equal((await soundness(files, set, contents, HOME)).length, 3);
});
