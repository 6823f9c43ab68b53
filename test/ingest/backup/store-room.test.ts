import { equal, ok, rejects } from 'node:assert/strict';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { listPoints } from '../../../src/catalog/points.ts';
import { backup } from '../../../src/ingest/backup/backup.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { noise } from '../../support/random.ts';
import { newStore } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// F5: the disk of a store is one budget, of which backups leave guests their part.
const MiB = 2 ** 20;
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
writeFileSync(image, noise(8 * MiB, 5));

test('a backup leaves what sessions need, and twice that while there are some', async () => {
  let freeBytes = 0;
  const real = realWorld();
  const totalBytes = 2 ** 40;
  const files = { ...real.files, space: async () => ({ totalBytes, freeBytes }) };
  const world = { ...real, files };
  const home = join(root, 'store');
  const { store, set } = await newStore(world, { home });
  await using _ = store;
  const run = () =>
    backup(store, {
      ...{ set, machine: 'vm', disks: [{ name: 'vda', where: image, format: undefined }] },
      ...{ workers: 1, isSecret: () => false, onEvent: () => {} },
    });
  const points = async () => (await listPoints(store, 'set')).points.length;

  freeBytes = 512 * MiB + MiB - 1;
  await rejects(run(), {
    code: 'NO_SPACE',
    message: /last 512.0 MiB are kept.*No recovery point/s,
  });
  equal(await points(), 0, 'not even half of one');
  freeBytes = 512 * MiB + 9 * MiB;
  await run();
  equal(await points(), 1);

  mkdirSync(join(home, 'sessions', 'vm-000000'));
  await rejects(run(), { code: 'NO_SPACE', message: /last 1.00 GiB are kept/ });
  freeBytes = 1024 * MiB + 9 * MiB;
  await run();
  rmdirSync(join(home, 'sessions', 'vm-000000'));
  freeBytes = 512 * MiB + 9 * MiB;
  ok((await run()).id);
  equal(await points(), 3);
});
