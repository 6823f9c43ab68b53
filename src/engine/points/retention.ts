import { mayBeOf, listPoints } from '../../catalog/points.ts';
import { byPublication } from '../../catalog/publication-order.ts';
import { forgetPoints, wouldForget } from '../../catalog/removal/forget-point.ts';
import { obstacleText } from '../../catalog/removal/obstacles.ts';
import {
  faultOf,
  isOfTheFuture,
  judge,
  type Retention,
  UTC,
} from '../../catalog/retention/rules.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { SchemaError } from '../../lib/schema.ts';
import type { JudgedPoint, UsedRules } from '../../operations/base/retention.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Store } from '../../store/directory/store.ts';
import { checkDeletions } from './deletions.ts';
import { type Engine, readKnownSet } from '../base/engine.ts';
import { olderMarks } from '../base/older-marks.ts';
import { trustedNow } from '../base/trusted-now.ts';

/** With its rules: those of the set are found in `set-retention.ts`. */
export type RetainRequest = Omit<RequestOf<'backup/retain'>, 'retention'> & {
  readonly retention: Retention;
};

/**
 * Forgets what no rule keeps, machine by machine. Only points of backups count and are forgotten: keeping a session
 * was a person's decision. Points in use by sessions stay until the next time, damaged ones until a person forgets
 * them.
 */
export async function retain(
  engine: Pick<Engine, 'store' | 'box' | 'memory'>,
  { set, machine, retention, dryRun }: RetainRequest,
): Promise<ResultOf<'backup/retain'>> {
  const { store } = engine;
  checkRetention(retention);
  if (!dryRun) await checkDeletions(engine);
  await readKnownSet(engine, set);
  const list = await listPoints(store, set);
  const points = list.points.filter((it) => machine === undefined || it.machine === machine);
  const damaged = list.damaged.filter(({ id }) => machine === undefined || mayBeOf(id, machine));
  const now = store.clock.now();
  const keepers = keepersOf(points, retention, now);
  const older = await olderMarks(engine, set);
  const unneeded = points.filter(({ id }) => keepers.get(id)!.length === 0);
  const unwanted = unneeded.filter(({ id }) => !older.has(id));
  const trustedMs = await trustedNow(engine);
  const { forgotten, kept } = await forgetAll(store, set, { points: unwanted, dryRun, trustedMs });
  for (const { id } of unneeded) {
    const reason = older.get(id)?.reason;
    if (reason !== undefined) kept.set(id, [{ by: 'unreadable', what: reason }]);
  }
  if (!dryRun) await engine.memory.marked.forget(set, forgotten);
  for (const [id, obstacles] of kept) keepers.get(id)!.push(...obstacles);

  const gone = new Set(forgotten);
  // What no rule keeps, and was no longer there, another process has forgotten.
  const judged = points
    .map((point) => ({ point, keptBy: keepers.get(point.id)! }))
    .filter(({ point, keptBy }) => keptBy.length > 0 || gone.has(point.id));
  const staying = judged.filter(({ keptBy }) => keptBy.length > 0).map(({ point }) => point);
  return {
    retention: usedRules(retention),
    kept: staying.length,
    ...{ forgotten, inUse: [...kept.keys()] },
    future: points
      .filter((it) => it.origin === 'backup' && isOfTheFuture(it, now))
      .map(({ id }) => id),
    oldest: oldestOf(staying, now),
    points: judged.map(({ point: { id, machine: its, created }, keptBy }) => ({
      ...{ point: id, machine: its, created, stays: keptBy.length > 0, keptBy },
    })),
    damaged: damaged.map(({ path, reason }) => ({ path, reason })),
  };
}

/** Throws SchemaError. */
export function checkRetention(retention: Retention): void {
  const fault = faultOf(retention);
  if (!fault) return;
  const [name, reason] = fault;
  throw new SchemaError(name === '' ? ['retention'] : ['retention', name], reason);
}

export function usedRules({ hourly = 0, timeZone = UTC, ...rules }: Retention): UsedRules {
  const { last, daily, weekly, monthly, yearly, within } = rules;
  return { last, hourly, daily, weekly, monthly, yearly, within, timeZone };
}

type Keepers = Map<string, JudgedPoint['keptBy'][number][]>;

/** By ID; an empty list: nothing that is known so far. */
function keepersOf(points: readonly PointRecord[], rules: Retention, now: Date): Keepers {
  const found: Keepers = new Map();
  const backups = points.filter(({ origin }) => origin === 'backup');
  for (const its of Map.groupBy(backups, ({ machine }) => machine).values()) {
    for (const { point, keepers } of judge(its.toSorted(byPublication), rules, now)) {
      found.set(point.id, [...keepers]);
    }
  }
  for (const { id, origin } of points) {
    if (origin === 'session') {
      found.set(id, [{ by: 'session', what: 'it was kept from a session' }]);
    }
  }
  return found;
}

function oldestOf(
  staying: readonly PointRecord[],
  now: Date,
): ResultOf<'backup/retain'>['oldest'][number][] {
  const backups = staying.filter((it) => it.origin === 'backup' && !isOfTheFuture(it, now));
  return [...Map.groupBy(backups, ({ machine }) => machine)].map(([machine, its]) => {
    const [oldest] = its.toSorted(byPublication);
    return { machine, point: oldest!.id, created: oldest!.created };
  });
}

/** So many are forgotten within a second, in one turn of leases. */
const BATCH = 1000;

interface Gone {
  readonly points: readonly PointRecord[];
  /** Trusted time, by which locks end; undefined: it is not known. */
  readonly trustedMs: number | undefined;
  readonly dryRun: boolean;
}

async function forgetAll(store: Store, set: string, { points, dryRun, trustedMs }: Gone) {
  const forgotten: string[] = [];
  const kept: Keepers = new Map();
  for (let at = 0; at < points.length; at += BATCH) {
    const batch = points.slice(at, at + BATCH);
    const done = await (dryRun ? wouldForget : forgetPoints)(store, set, batch, trustedMs);
    forgotten.push(...done.forgotten);
    for (const { id, obstacles } of done.kept) {
      kept.set(
        id,
        obstacles.map((it) => ({ by: it.kind, what: obstacleText(id, it) })),
      );
    }
  }
  return { forgotten, kept };
}
