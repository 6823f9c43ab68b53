import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { setNames } from '../../../src/catalog/sets.ts';
import { createStore, openStore } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { importInto } from '../../support/exports.ts';
import { seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { HOME, simulatedWorld } from '../../support/store.ts';
import { smallExport } from './damage.ts';

const SEEDS = Number(process.env['SEEDS'] ?? 3);

test('a power cut at any call of an import: each point is there whole or not at all; a repeat brings all', async () => {
  const { set, contents, bytes } = await smallExport('horse');
  const initial = crashingFs(seeded(0));
  await createStore(simulatedWorld(initial.files), HOME);

  async function run(files: FileSystem, seed: number) {
    await using store = await openStore(simulatedWorld(files, seed), HOME);
    return importInto(store, set, bytes);
  }
  async function pointsIn(files: FileSystem): Promise<string[]> {
    await using store = await openStore(simulatedWorld(files, 9), HOME);
    if (!(await setNames(store)).includes('set')) return [];
    const points = await soundness(files, set, ({ id }) => contents.get(id)!);
    return points.map(({ id }) => id);
  }
  const whole = initial.copy(seeded(0));
  await run(whole.files, 2);
  const calls = whole.calls();
  ok(calls > 30);
  let halves = 0;
  for (let cutAt = 1; cutAt <= calls; cutAt += SEEDS > 1 ? 1 : 3) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const where = `cutAt=${cutAt} seed=${seed}`;
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      const done: string[] = [];
      await run(disk.files, 2).then(
        ({ points }) => done.push(...points.map(({ id }) => id)),
        onlyPowerCuts,
      );
      const { files } = disk.reboot();
      const left = await pointsIn(files);
      ok(left.length >= done.length, where);
      if (left.length === 1) halves++;
      const again = await run(files, 3);
      deepEqual(again.damage, [], where);
      equal((await pointsIn(files)).length, 2, where);
    }
  }
  ok(halves > 0, 'the first point is there before the second');
});
