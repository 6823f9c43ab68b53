import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { listPoints } from '../../../src/catalog/points.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { noise, seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';

const SIZE = 3 * 2 ** 20;
const PACK_LENGTH = 2 ** 20;
const SEEDS = Number(process.env['SEEDS'] ?? 3);

const FIRST = noise(SIZE, 1);
const SECOND = FIRST.slice();
SECOND.set(noise(400_000, 2), 2 ** 20 + 777);

/** A store with a point of FIRST, and what makes one of SECOND. */
async function setUp() {
  const initial = crashingFs(seeded(0));
  const world = simulatedWorld(initial.files);
  const { store, set } = await newStore(world);
  await storePoint(store, set, FIRST, { packLength: PACK_LENGTH });
  async function backup(files: FileSystem): Promise<void> {
    const world = simulatedWorld(files, 7);
    await using store = await openStore(world, HOME);
    await storePoint(store, set, SECOND, { packLength: PACK_LENGTH });
  }
  return { initial, set, backup };
}

test('a power cut at any call of a backup loses nothing that was published', async () => {
  const { initial, set, backup } = await setUp();
  const whole = initial.copy(seeded(0));
  await backup(whole.files);
  const calls = whole.calls();
  ok(calls > 20);
  for (let cutAt = 1; cutAt <= calls; cutAt++) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      const acknowledged = await backup(disk.files).then(
        () => true,
        (error: unknown) => {
          onlyPowerCuts(error);
          return false;
        },
      );
      const after = disk.reboot();
      const points = await soundness(after.files, set, (_, index) =>
        index === 0 ? FIRST : SECOND,
      );
      if (acknowledged) equal(points.length, 2, `lost: cutAt=${cutAt} seed=${seed}`);
      // The next backup repairs what the crash left and succeeds.
      if (seed > 1) continue;
      await backup(after.files);
      const all = await soundness(after.files, set, (_, index) => (index === 0 ? FIRST : SECOND));
      equal(all.length, points.length + 1);
    }
  }
});

test('killed at any call, repeated, and then the power goes: nothing that was published is lost', async () => {
  const { initial, set, backup } = await setUp();
  const whole = initial.copy(seeded(0));
  await backup(whole.files);
  for (let killAt = 1; killAt <= whole.calls(); killAt++) {
    // Nothing survives the power cut that was not synced.
    const disk = initial.copy(() => 0, killAt);
    await backup(disk.files).catch(onlyPowerCuts);
    const next = disk.kill();
    await backup(next.files);
    const { points } = await listPoints(await openStore(simulatedWorld(next.files), HOME), 'set');
    const after = await soundness(next.reboot().files, set, (_, index) =>
      index === 0 ? FIRST : SECOND,
    );
    equal(after.length, points.length, `killAt=${killAt}`);
  }
});

test('a power cut while a lost pack is stored again leaves nothing that the next backup does not mend', async () => {
  const { initial, set } = await setUp();
  const before = simulatedWorld(initial.files);
  await using store = await openStore(before, HOME);
  await initial.files.unlink(store.packs.path(1));
  await initial.files.syncDirectory(`${HOME}/packs/00000`);
  const backup = async (files: FileSystem): Promise<void> => {
    const world = simulatedWorld(files, 7);
    await using store = await openStore(world, HOME);
    await storePoint(store, set, FIRST, { packLength: PACK_LENGTH });
  };
  const whole = initial.copy(seeded(0));
  await backup(whole.files);
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    const disk = initial.copy(seeded(cutAt), cutAt);
    await backup(disk.files).catch(onlyPowerCuts);
    const after = disk.reboot();
    await backup(after.files);
    const points = await soundness(after.files, set, () => FIRST);
    ok(points.length >= 2, `cutAt=${cutAt}`);
  }
});
