import { listPoints } from '../../catalog/points.ts';
import { byPublication } from '../../catalog/publication-order.ts';
import { forgetPoints, wouldForget } from '../../catalog/removal/forget-point.ts';
import { expired, isOfTheFuture, keepsSomething, type Retention } from '../../catalog/retention.ts';
import { SchemaError } from '../../lib/schema.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Store } from '../../store/directory/store.ts';
import { checkDeletions } from './deletions.ts';
import { type Engine, readKnownSet } from '../base/engine.ts';

/**
 * Forgets what no rule keeps, machine by machine. Only points of backups count and are forgotten: keeping a session
 * was a person's decision. Points in use by sessions stay until the next time.
 */
export async function retain(
  engine: Pick<Engine, 'store' | 'box' | 'memory'>,
  { set, machine, retention, dryRun }: RequestOf<'backup/retain'>,
): Promise<ResultOf<'backup/retain'>> {
  const { store } = engine;
  checkRetention(retention);
  if (!dryRun) await checkDeletions(engine);
  await readKnownSet(engine, set);
  const { points } = await listPoints(store, set);
  const counted = points.filter(
    (point) => point.origin === 'backup' && (machine === undefined || point.machine === machine),
  );
  const now = store.clock.now();
  const machines = Map.groupBy(counted, (point) => point.machine);
  const gone = [...machines.values()].flatMap((all) =>
    expired(all.toSorted(byPublication), retention, now),
  );
  const ids = gone.map(({ id }) => id);
  const { forgotten, inUse } = await forgetAll(store, set, { ids, dryRun });
  const future = counted.filter((point) => isOfTheFuture(point, now)).map(({ id }) => id);
  return { forgotten, inUse, kept: counted.length - gone.length, future };
}

/** So many are forgotten within a second; the store is locked in the meantime. */
const BATCH = 1000;

interface Gone {
  readonly ids: readonly string[];
  readonly dryRun: boolean;
}

async function forgetAll(store: Store, set: string, { ids, dryRun }: Gone) {
  const forgotten: string[] = [];
  const inUse: string[] = [];
  for (let at = 0; at < ids.length; at += BATCH) {
    const batch = ids.slice(at, at + BATCH);
    const { forgotten: gone, kept } = await (dryRun ? wouldForget : forgetPoints)(
      store,
      set,
      batch,
    );
    forgotten.push(...gone);
    inUse.push(...kept.map(({ id }) => id));
  }
  return { forgotten, inUse };
}

/** Throws SchemaError: only zeros are a mistake that would leave one recovery point. */
export function checkRetention(retention: Retention): void {
  if (!keepsSomething(retention)) throw new SchemaError(['retention'], 'it keeps nothing');
}
