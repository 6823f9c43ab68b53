import { CatalogError } from '../../catalog/catalog-error.ts';
import type { PointPlace } from '../../catalog/point-places.ts';
import { findPoint, listPoints, type PageRequest, pageOfPoints } from '../../catalog/points.ts';
import { forgetLost, forgetPoint } from '../../catalog/removal/forget-point.ts';
import type { DamagedPoint } from '../../operations/base/fields.ts';
import type { PointSummary } from '../../operations/nouns/backup.ts';
import type { Engine } from '../base/engine.ts';
import { trustedNow } from '../base/trusted-now.ts';
import { checkDeletions } from './deletions.ts';
import { summariesOf } from './point-proofs.ts';
import { olderMarks } from '../base/older-marks.ts';
import { olderMachines } from './published-points.ts';

/* Recovery points, listed and forgotten: what needs no part of a disk, so that these commands start quickly. */

interface PointListing {
  readonly points: readonly PointSummary[];
  readonly damaged: readonly DamagedPoint[];
}

export async function points(
  engine: Engine,
  {
    set,
    machine,
    run,
  }: {
    readonly set: string | undefined;
    readonly machine: string | undefined;
    readonly run?: string | undefined;
  },
): Promise<PointListing> {
  const { store } = engine;
  const list = await listPoints(store, set);
  // Points that are listed as well need not be searched.
  const listed = new Set(list.points.map((point) => `${point.set}/${point.id}`));
  const older = await olderMachines(engine, [], (it) => {
    const isAsked = (set ?? it.set) === it.set && (machine === undefined || it.machine === machine);
    return isAsked && !listed.has(`${it.set}/${it.point}`);
  });
  const wanted = list.points.filter(
    (point) =>
      (machine === undefined || point.machine === machine) &&
      (run === undefined || point.run === run),
  );
  return {
    points: await summariesOf(store, wanted),
    damaged: [...list.damaged, ...older].map(({ path, reason }) => ({ path, reason })),
  };
}

export async function pointPage(
  { store, pointNames }: Engine,
  request: PageRequest,
): Promise<PointListing & { readonly total: number; readonly first: number }> {
  const { points, damaged, total } = await pageOfPoints(store, pointNames, request);
  return {
    points: await summariesOf(store, points),
    damaged: damaged.map(({ path, reason }) => ({ path, reason })),
    ...{ total, first: request.first },
  };
}

export async function forget(engine: Engine, query: string): Promise<{ readonly point: string }> {
  const { store } = engine;
  await checkDeletions(engine);
  const place = await placeOf(engine, query);
  // A point that was deleted by other means can be forgotten as long as it is reported as missing.
  if (!place) return { point: (await forgetLost(store, query, await trustedNow(engine))).id };
  // The beginning of an ID suffices to view a recovery point, not to lose it.
  if (query !== place.id && query !== `${place.set}/${place.id}`) {
    const advice = `to forget it, give its whole ID: ${place.id}`;
    throw new CatalogError('AMBIGUOUS', `"${query}" is not the ID of a recovery point; ${advice}`);
  }
  const older = (await olderMarks(engine, place.set)).get(place.id);
  if (older) throw new CatalogError('KEPT', `${place.id} stays: ${older.reason}`);
  await forgetPoint(store, place, await trustedNow(engine));
  await engine.memory.marked.forget(place.set, [place.id]);
  return { point: place.id };
}

/** Undefined: it does not exist. */
async function placeOf({ store }: Engine, query: string): Promise<PointPlace | undefined> {
  try {
    return await findPoint(store, query);
  } catch (cause) {
    if (!(cause instanceof CatalogError) || cause.code !== 'NOT_FOUND') throw cause;
    return undefined;
  }
}
