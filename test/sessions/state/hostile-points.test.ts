import { deepEqual, equal, rejects } from 'node:assert/strict';
import { join } from 'node:path/posix';
import { test } from 'tap';
import { listPoints, pointPath, readPoint } from '../../../src/catalog/points.ts';
import { encodePoint } from '../../../src/formats/store/catalog/point.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { HOSTILE_NAMES } from '../../support/hostile-texts.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const OPTIONS = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;

async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, noise(2 ** 16, 1));
  async function* paths(directory: string): AsyncGenerator<string> {
    for (const name of await world.files.list(directory)) {
      const path = join(directory, name);
      yield path;
      if ((await world.files.stat(path))?.kind === 'directory') yield* paths(path);
    }
  }
  return {
    ...{ world, store, set, point },
    async all(): Promise<readonly string[]> {
      const found: string[] = [];
      for await (const path of paths('/')) found.push(path);
      return found;
    },
  };
}

test('a recovery point whose names lead elsewhere is damaged, and starts no session', async () => {
  const { world, store, set, point, all } = await place();
  const before = await all();
  const [disk] = point.disks;
  for (const name of HOSTILE_NAMES) {
    for (const part of [{ disks: [{ ...disk!, name }] }, { machine: name }]) {
      // In a set that is not encrypted, anyone who can write to the store can write such a record.
      const bytes = encodePoint({ ...point, ...part }, set.keys.record);
      await putDurably(world.files, pointPath(store, point), bytes);
      await rejects(readPoint(store, set, point.id), {
        code: 'CORRUPT',
        message: /"(name|machine)"/,
      });
      equal((await listPoints(store, 'set')).damaged.length, 1);
      // As if it had not been read from the store.
      await rejects(startSession(store, { ...point, ...part }, OPTIONS));
    }
  }
  await rejects(startSession(store, { ...point, disks: [disk!, disk!] }, OPTIONS), /two disks/);
  await rejects(startSession(store, { ...point, disks: [] }, OPTIONS), /has no disks/);
  deepEqual(await all(), before);
});
