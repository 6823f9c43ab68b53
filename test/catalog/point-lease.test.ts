import { deepEqual, equal, ok } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { checkChain } from '../../src/catalog/check-chain.ts';
import { holdPoint } from '../../src/catalog/point-lease.ts';
import { neededSource } from '../../src/catalog/removal/needed.ts';
import { listPoints } from '../../src/catalog/points.ts';
import { forgetPoint } from '../../src/catalog/removal/forget-point.ts';
import { lockStore } from '../../src/store/directory/store-lock.ts';
import { openStore, type Store } from '../../src/store/directory/store.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import { crashingFs } from '../support/crashing-fs.ts';
import { noise, seeded } from '../support/random.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../support/store.ts';

/** Long enough for work that waits for no other process. */
const BLOCKED_MS = 30;

/** Calls `during` once, before the `at`-th call of the file system, and goes on once that is done, or waits for us. */
function interrupted(files: FileSystem, at: number, during: () => Promise<void>) {
  let calls = 0;
  let done: Promise<void> | undefined;
  const wrapped = new Proxy(files, {
    get(target, name) {
      const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        if (++calls === at) await Promise.race([(done = during()), sleep(BLOCKED_MS)]);
        return method(...args);
      };
    },
  });
  return { files: wrapped, calls: () => calls, done: () => done };
}

async function rig() {
  const disk = crashingFs(seeded(0));
  const { store, set } = await newStore(simulatedWorld(disk.files));
  const point = await storePoint(store, set, noise(4096, 1));
  let seed = 10;
  /** The store in another process. */
  const other = (files = disk.files): Promise<Store> =>
    openStore(simulatedWorld(files, seed++), HOME);
  const forget = async () => forgetPoint(await other(), { set: 'set', id: point.id });
  return { disk, store, set, point, other, forget };
}

/** What a sweep finds to be needed, in its order. */
async function needed(store: Store): Promise<number> {
  const { roots, obstacles } = await neededSource(store, new Map())();
  return roots.length + obstacles.length;
}

test('a reader that begins while a point is forgotten and a sweep looks is told so, or its lease is seen', async () => {
  for (let at = 1; ; at++) {
    const { disk, set, point, other, forget } = await rig();
    let found = 0;
    const gate = interrupted(disk.files, at, async () => {
      await forget();
      found = await needed(await other());
    });
    const reader = await other(gate.files);
    const lease = await holdPoint(reader, set, point, 'a test').catch(() => undefined);
    await gate.done();
    if (gate.calls() < at) break;
    ok(!lease || found > 0, `at call ${at}: what is read is needed by nothing that a sweep sees`);
    await lease?.[Symbol.asyncDispose]();
    equal(await needed(await other()), 0, `at call ${at}: it leaves nothing`);
  }
});

test('a reader that begins while a sweep looks, of a point that is then forgotten, is seen', async () => {
  for (let at = 1; ; at++) {
    const { disk, set, point, other, forget } = await rig();
    let lease: AsyncDisposable | undefined;
    const gate = interrupted(disk.files, at, async () => {
      lease = await holdPoint(await other(), set, point, 'a test');
      await forget();
    });
    const found = await needed(await other(gate.files));
    await gate.done();
    if (gate.calls() < at) break;
    ok(lease && found > 0, `at call ${at}`);
  }
});

test('a point is forgotten while another process holds the store', async () => {
  const { store, forget } = await rig();
  await using _lock = await lockStore(store, 'backup create');
  await forget();
  deepEqual((await listPoints(store, 'set')).points, []);
});

test('a backup whose parent is forgotten at any of its calls is whole, and the chain without a gap', async () => {
  for (let at = 1; ; at += 3) {
    const { disk, store, set, point, other, forget } = await rig();
    const gate = interrupted(disk.files, at, forget);
    const next = await storePoint(await other(gate.files), set, noise(8192, 2));
    await gate.done();
    if (gate.calls() < at) break;
    const { points } = await listPoints(store, 'set', set.keys);
    deepEqual(
      points.map(({ id }) => id),
      [next.id],
    );
    equal(next.sequence, point.sequence + 1);
    deepEqual(await checkChain(store, 'set', set.keys), [], `at call ${at}`);
  }
});
