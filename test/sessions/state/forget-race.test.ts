import { deepEqual, equal } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { leasesOf } from '../../../src/catalog/leases.ts';
import { listPoints } from '../../../src/catalog/points.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { noise, seeded } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

/** Long enough for work that waits for no other process. */
const BLOCKED_MS = 40;

/** Calls `during` before the `at`-th call, and goes on once that is done, or waits for us. */
function interrupted(files: FileSystem, at: number, during: () => Promise<void>) {
  let calls = 0;
  const wrapped = new Proxy(files, {
    get(target, name) {
      const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        if (++calls === at) await Promise.race([during(), sleep(BLOCKED_MS)]);
        return method(...args);
      };
    },
  });
  return { files: wrapped, calls: () => calls };
}

/** 'done', or the code of what it was refused with. */
async function outcomeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: { readonly code?: string }) => error.code ?? 'failed',
  );
}

async function engine() {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, noise(4096, 1));
  const start = async (files: FileSystem): Promise<void> => {
    const world = simulatedWorld(files, 5);
    const engine = { world, store: await openStore(world, HOME) };
    await using _session = await startSession(engine.store, point, {
      ...{ listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' },
    });
  };
  const forget = async (files: FileSystem): Promise<void> => {
    const world = simulatedWorld(files, 6);
    await forgetPoint(await openStore(world, HOME), { set: 'set', id: point.id });
  };
  return { disk, world, store, start, forget };
}

for (const first of ['start', 'forget'] as const) {
  const second = first === 'start' ? 'forget' : 'start';
  test(`${second} while ${first} is at any call: one of the two is refused`, async () => {
    const met = new Set<string>();
    for (let at = 1; ; at++) {
      const { disk, store, ...work } = await engine();
      const outcomes = { start: '', forget: '' };
      let other: Promise<void> | undefined;
      const gate = interrupted(disk.files, at, () => {
        other = outcomeOf(work[second](disk.files)).then((it) => void (outcomes[second] = it));
        return other;
      });
      outcomes[first] = await outcomeOf(work[first](gate.files));
      await other;
      if (gate.calls() < at) break;
      const { points } = await listPoints(store, 'set');
      const found = { points: points.length, leases: (await leasesOf(store)).length };
      if (outcomes.start === 'done') {
        deepEqual(
          { ...outcomes, ...found },
          { start: 'done', forget: 'IN_USE', points: 1, leases: 1 },
        );
      } else {
        deepEqual(
          { ...outcomes, ...found },
          { start: 'NOT_FOUND', forget: 'done', points: 0, leases: 0 },
        );
      }
      met.add(outcomes.start);
    }
    equal(met.size, 2, 'either comes first now and then');
  });
}
