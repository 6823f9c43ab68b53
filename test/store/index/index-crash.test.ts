import { equal, ok } from 'node:assert/strict';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { OpenSet } from '../../../src/catalog/sets.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { rebuildIndex } from '../../../src/store/write/store-writer.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { withIndex } from '../../support/index-on-disk.ts';
import { noise, seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { newStore, simulatedWorld, storeIndexed, storePoint } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

/*
 * Power cuts in what works with the index, which LevelDB keeps on a real disk: there it is as new as it can be, while
 * the packs that it names may be gone.
 */
const SIZE = 2 ** 20;
const STEP = Number(process.env['SEEDS'] ?? 3) > 1 ? 1 : 3;
const FIRST = noise(SIZE, 1);
const SECOND = FIRST.slice();
SECOND.set(noise(300_000, 2), 500_000);
const HOME = join(temporaryDirectory(), 'store');
const INDEX = join(HOME, 'block-index');
const BEFORE = join(temporaryDirectory(), 'block-index');

async function engineOn(files: FileSystem, seed: number) {
  const world = simulatedWorld(withIndex(files, INDEX), seed);
  return { world, store: await openStore(world, HOME) };
}

async function setUp() {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world, { home: HOME });
  await storePoint(store, set, FIRST);
  return { disk, set };
}

async function backUp(files: FileSystem, set: OpenSet) {
  const { store } = await engineOn(files, 5);
  return storeIndexed(store, set, SECOND);
}

async function rebuild(files: FileSystem): Promise<void> {
  const { store } = await engineOn(files, 6);
  await rebuildIndex(store, {});
}

const contentsOf = (_: unknown, index: number): Uint8Array => (index === 0 ? FIRST : SECOND);

for (const [name, work] of [
  ['a backup', backUp],
  ['a rebuild of the index', rebuild],
] as const) {
  test(`a power cut at any call of ${name}: the next backup finds what is there, and is whole`, async () => {
    const { disk: initial, set } = await setUp();
    rmSync(INDEX, { recursive: true, force: true });
    await rebuild(initial.files);
    // The blocks that were there before: the same each time.
    rmSync(BEFORE, { recursive: true, force: true });
    cpSync(INDEX, BEFORE, { recursive: true });
    const whole = initial.copy(seeded(0));
    await work(whole.files, set);
    ok(whole.calls() > 10);
    for (let cutAt = 1; cutAt <= whole.calls(); cutAt += STEP) {
      rmSync(INDEX, { recursive: true, force: true });
      cpSync(BEFORE, INDEX, { recursive: true });
      const disk = initial.copy(seeded(cutAt), cutAt);
      await work(disk.files, set).catch(onlyPowerCuts);
      const { files } = disk.reboot();
      await soundness(files, set, contentsOf, HOME);
      const { stats } = await backUp(files, set);
      // Most of it is in the first point, or was stored before the power went.
      ok(stats.storedBytes < 500_000, `cutAt=${cutAt}: ${stats.storedBytes}`);
      await soundness(files, set, contentsOf, HOME);
    }
    equal(readdirSync(INDEX).length > 0, true);
  });
}
