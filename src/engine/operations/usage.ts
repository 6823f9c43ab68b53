import { pageOfPoints } from '../../catalog/points.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { StoreUsage } from '../../operations/nouns/store.ts';
import { forecastOf, readGrowth } from '../watch/growth.ts';
import type { Engine } from '../base/engine.ts';

/** Number of records read to calculate the saving: 300 files of some hundred bytes, which takes some 50 ms. */
const POINTS_LOOKED_AT = 300;

/** How full the store is, when it will be full, and what it saves. */
export async function usage(
  engine: Pick<Engine, 'store' | 'pointNames'>,
  { reclaimable }: RequestOf<'store/usage'>,
): Promise<StoreUsage> {
  const { store, pointNames } = engine;
  const { directory } = store;
  const space = await store.files.space(directory);
  const samples = await readGrowth(store, directory);
  const { since, bytesPerDay, fullAt } = forecastOf(samples, space, store.clock.now());
  const newest = { first: 0, count: POINTS_LOOKED_AT };
  const all = { set: undefined, machine: undefined, contains: undefined };
  const { points } = await pageOfPoints(store, pointNames, { ...all, ...newest });
  const sum = (of: (point: (typeof points)[number]) => number): number =>
    points.reduce((total, point) => total + of(point), 0);
  return {
    space: { freeBytes: space.freeBytes, totalBytes: space.totalBytes },
    growth: {
      since: since ?? null,
      bytesPerDay: bytesPerDay ?? null,
      fullAt: fullAt ?? null,
    },
    saving: {
      points: points.length,
      readBytes: sum((point) => point.stats.readBytes),
      storedBytes: sum((point) => point.stats.storedBytes),
    },
    reclaimable: reclaimable ? await reclaimableOf(engine) : null,
  };
}

async function reclaimableOf({ store }: Pick<Engine, 'store'>) {
  const { reclaimableIn } = await import('../upkeep/sweep.ts');
  const { freedBytes, copyFreedBytes, sets } = await reclaimableIn(store);
  return {
    bytes: freedBytes,
    byCopying: copyFreedBytes,
    sets: sets.map((it) => ({ sets: it.sets, bytes: it.freedBytes })),
  };
}
