import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { crashingFs, PowerCut } from '../../support/crashing-fs.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { pattern, seeded } from '../../support/random.ts';

const PATH = '/record';
const OLD = pattern(700, 1);
const NEW = pattern(5000, 2);

async function withOld() {
  const disk = crashingFs(seeded(0));
  await putDurably(disk.files, PATH, OLD);
  return disk;
}

test('a power cut at any call leaves the old file or the whole new one', async () => {
  const before = await withOld();
  const whole = before.copy(seeded(0));
  await putDurably(whole.files, PATH, NEW);
  for (let cutAt = 0; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 1; seed <= 40; seed++) {
      const disk = before.copy(seeded(seed), cutAt);
      const acknowledged = await putDurably(disk.files, PATH, NEW).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof PowerCut)) throw error;
          return false;
        },
      );
      const after = disk.reboot().files;
      const found = await after.readFile(PATH, 10_000);
      const where = `cutAt=${cutAt} seed=${seed}`;
      if (acknowledged) deepEqual(found, NEW, where);
      else deepEqual(found, found.length === OLD.length ? OLD : NEW, where);
      // What a cut left behind is no obstacle.
      await putDurably(after, PATH, NEW);
    }
  }
});

test('a sync that fails is not believed', async () => {
  const before = await withOld();
  const files = faultyFs(before.files, (operation, path) =>
    operation === 'sync' ? broken(path) : undefined,
  );
  await rejects(putDurably(files, PATH, NEW), { code: 'IO' });
  equal((await before.files.readFile(PATH, 10_000)).length, OLD.length);
});
