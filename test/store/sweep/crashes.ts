import { equal, ok } from 'node:assert/strict';
import { openStore } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { onlyPowerCuts } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { HOME, simulatedWorld, storePoint } from '../../support/store.ts';
import { FIRST, PACK_LENGTH, points, type SweptPlace, copyingSweep } from './swept.ts';

interface Crash {
  readonly cutAt: number;
  readonly seed: number;
  /** What the file system can do. */
  readonly on?: (files: FileSystem) => FileSystem;
}

/** A sweep ends at a call of its own, by a kill and by a power cut; a backup and another sweep follow. */
export async function crashAt(
  place: SweptPlace,
  { cutAt, seed, on = (files) => files }: Crash,
): Promise<void> {
  const where = `cutAt=${cutAt} seed=${seed}`;
  const disk = place.disk.copy(seeded(seed * 1000 + cutAt), cutAt);
  await copyingSweep(on(disk.files)).catch(onlyPowerCuts);
  for (const after of [disk.kill(), disk.reboot()]) {
    equal(await points(after.files, place), 1, where);
    await using store = await openStore(simulatedWorld(after.files, 8), HOME);
    await storePoint(store, place.set, FIRST, { packLength: PACK_LENGTH });
    equal(await points(after.files, place), 2, where);
    const last = await copyingSweep(on(after.files), {}, 9);
    equal(last.obstacles.length, 0, where);
    ok(last.damage.length === 0, where);
    equal(await points(after.files, place), 2, where);
  }
}
