import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { takeLease } from '../../../src/catalog/leases.ts';
import { holdPoint } from '../../../src/catalog/point-lease.ts';
import { listPoints } from '../../../src/catalog/points.ts';
import { forgottenRoots, neededSource } from '../../../src/catalog/removal/needed.ts';
import { removeSet } from '../../../src/catalog/removal/remove-set.ts';
import { finishRemovals, removedSets } from '../../../src/catalog/removal/removed-sets.ts';
import { createSet, setNames } from '../../../src/catalog/sets.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import { sweepPacks } from '../../../src/store/sweep/sweep-packs.ts';
import { type CrashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { HOME, simulatedWorld } from '../../support/store.ts';
import { setUp } from '../../store/sweep/swept.ts';

const free = { trustedMs: undefined, require: async () => {} };
const openOn = (disk: CrashingFs, seed = 3) => openStore(simulatedWorld(disk.files, seed), HOME);

/** Names of what is left of the set "set". */
async function left(store: Store): Promise<string[]> {
  const { files, directory } = store;
  const names = async (path: string): Promise<string[]> =>
    (await files.stat(`${directory}/${path}`)) ? files.list(`${directory}/${path}`) : [];
  return [...(await names('sets')), ...(await names('copies/sets'))];
}

test('a power cut at any call of a removal leaves the whole set, or a removal that is finished', async () => {
  const { disk } = await setUp();
  const random = seeded(9);
  const whole = disk.copy(random);
  await removeSet(await openOn(whole, 2), 'set', free);
  deepEqual(await left(await openOn(whole)), []);
  const calls = whole.calls();
  let [before, after] = [0, 0];
  for (let at = 0; at < calls; at++) {
    const on = disk.copy(random, at);
    await openOn(on, 2)
      .then((store) => removeSet(store, 'set', free))
      .catch(onlyPowerCuts);
    const store = await openOn(on.reboot());
    const names = await setNames(store);
    if (names.length > 0) {
      before++;
      const { points, damaged } = await listPoints(store, 'set');
      deepEqual([points.length, damaged.length], [1, 0]);
      await removeSet(store, 'set', free);
    } else after++;
    {
      await using _lock = await lockStore(store, 'test');
      await finishRemovals(store);
    }
    deepEqual(await left(store), []);
    equal((await removedSets(store)).length, 1);
  }
  ok(before > 0 && after > 0, `${before} ${after}`);
});

test('the sweep gives back all of a removed set at once and without its key, and nothing of others', async () => {
  const { disk } = await setUp('correct horse');
  const store = await openOn(disk);
  const sweep = () =>
    sweepPacks(store, {
      needed: () => neededSource(store, new Map()),
      forgotten: () => forgottenRoots(store),
      removedAt: async () =>
        new Map(
          (await removedSets(store)).map((it) => [
            Buffer.from(it.domain).toString('hex'),
            it.lastPack,
          ]),
        ),
    });
  await sweep();
  ok((await store.packs.list()).length > 0);
  await removeSet(store, 'set', free);
  const { obstacles, removedPacks } = await sweep();
  deepEqual(obstacles, []);
  ok(removedPacks > 0);
  deepEqual(await store.packs.list(), []);
  const { files, directory } = store;
  for (const name of await files.list(`${directory}/copies/packs`)) {
    deepEqual(await files.list(`${directory}/copies/packs/${name}`), [], 'second copies of nodes');
  }
});

test('a set stays while a session, a reader or a schedule needs it', async () => {
  const { disk, set, second } = await setUp();
  const store = await openOn(disk);
  await takeLease(store, 's-1', { set: 'set', point: second.id, holder: 'session s-1' });
  await rejects(removeSet(store, 'set', free), { code: 'IN_USE', message: /session s-1/ });
  await store.files.unlink(`${HOME}/leases/s-1.json`);
  {
    await using _held = await holdPoint(store, set, second, 'mount');
    await rejects(removeSet(store, 'set', free), {
      code: 'IN_USE',
      message: new RegExp(`a process reads from ${second.id}`),
    });
  }
  const require = () => Promise.reject(new Error('a schedule'));
  await rejects(removeSet(store, 'set', { ...free, require }), /a schedule/);
  equal((await listPoints(store, 'set')).points.length, 1);
  await createSet(store, 'other', {});
  await removeSet(store, 'set', free);
  deepEqual(await setNames(store), ['other']);
  // A later set of the name is another one, and is not taken for the removed one.
  await createSet(store, 'set', {});
  await using _lock = await lockStore(store, 'test');
  await finishRemovals(store);
  deepEqual(await setNames(store), ['other', 'set']);
});
