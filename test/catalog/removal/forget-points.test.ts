import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { checkChain } from '../../../src/catalog/check-chain.ts';
import { takeLease } from '../../../src/catalog/leases.ts';
import { listPoints, newPointId } from '../../../src/catalog/points.ts';
import { pointsDirectory } from '../../../src/catalog/point-places.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import { forgetPoints, wouldForget } from '../../../src/catalog/removal/forget-point.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld } from '../../support/store.ts';

/** A store with some points of one machine, and a session that runs from the second. */
async function withPoints(count: number) {
  const disk = crashingFs(seeded(1));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world);
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    const draft = { id: newPointId(world, 'vm1'), machine: 'vm1', parent: undefined, disks: [] };
    const stats = { readBytes: 0, storedBytes: 0 };
    ids.push((await publishPoint(store, set, { ...draft, origin: 'backup', stats })).id);
  }
  await takeLease(store, 's1', { set: 'set', point: ids[1]!, holder: 'session s1' });
  return { disk, set, store, ids };
}

const named = (ids: readonly string[]) => ids.map((id) => ({ id }));

test('many points are forgotten with one sync; what is in use stays, and what is gone is no failure', async () => {
  const { disk, store, ids } = await withPoints(6);
  const [, used, third] = ids;
  const wanted = [...ids.slice(0, 5), 'vm1-gone'];
  const free = [...ids.slice(0, 1), ...ids.slice(2, 5)];
  const kept = [{ id: used!, obstacles: [{ kind: 'used', by: 'session s1' }] }];
  deepEqual(await wouldForget(store, 'set', named(ids.slice(0, 5)), 0), { forgotten: free, kept });
  equal((await listPoints(store, 'set')).points.length, 6, 'nothing was removed');

  let syncs = 0;
  const files: FileSystem = {
    ...disk.files,
    syncDirectory: async (path) => {
      if (path === pointsDirectory(store, 'set')) syncs++;
      await disk.files.syncDirectory(path);
    },
  };
  const counted = await openStore(simulatedWorld(files), HOME);
  const done = await forgetPoints(counted, 'set', named(wanted), 0);
  deepEqual(done.forgotten, free);
  deepEqual(done.kept, kept);
  deepEqual(
    done.lost.map(({ code }) => code),
    ['NOT_FOUND'],
  );
  equal(syncs, 1);
  const again = await forgetPoints(counted, 'set', named([third!]), 0);
  deepEqual([again.forgotten, again.lost.length], [[], 1]);
});

test('a power cut at any call leaves each point whole or forgotten', async () => {
  const { disk, set, ids } = await withPoints(5);
  const seen = new Set<number>();
  for (let cut = 1; ; cut++) {
    const copy = disk.copy(seeded(cut), cut);
    let isDone = false;
    try {
      const store = await openStore(simulatedWorld(copy.files), HOME);
      await forgetPoints(store, 'set', named(ids.slice(0, 4)), 0);
      isDone = true;
    } catch (error) {
      onlyPowerCuts(error);
    }
    const { files } = copy.reboot();
    const after = await openStore(simulatedWorld(files), HOME);
    const { points, damaged } = await listPoints(after, 'set');
    const names = await files.list(pointsDirectory(after, 'set'));
    for (const id of ids) {
      const its = names.filter((name) => name.startsWith(id));
      equal(its.length, 1, `cut ${cut}: ${its.join()}`);
    }
    deepEqual(damaged, []);
    deepEqual(await checkChain(after, 'set', set.keys), [], `cut ${cut}`);
    const left = new Set(points.map(({ id }) => id));
    ok(left.has(ids[1]!) && left.has(ids[4]!), `cut ${cut}: what is in use, and was not asked for`);
    seen.add(left.size);
    if (isDone) {
      equal(left.size, 2, 'what was acknowledged is durable');
      break;
    }
  }
  ok(seen.size > 2, 'cuts between two removals were seen');
});
