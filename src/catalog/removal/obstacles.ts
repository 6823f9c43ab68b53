import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { Store } from '../../store/directory/store.ts';
import { CatalogError } from '../catalog-error.ts';
import { type Lease, leasesOf } from '../leases.ts';
import type { PointPlace } from '../point-places.ts';
import { markedIds, readMarks } from './marks.ts';

/*
 * The one place that answers why a recovery point may not be removed. A caller that removes one asks here while it has
 * `leaseTurn`; a caller that only shows what it would remove needs no turn. A new reason is a new kind here, and holds
 * for `backup forget`, `backup retain` and schedules alike.
 */

/** Why a recovery point stays. */
export type Obstacle =
  /** `by`: for people, `session vm1-k3x9`. */
  | { readonly kind: 'used'; readonly by: string }
  | { readonly kind: 'held'; readonly name: string }
  | { readonly kind: 'protected' }
  /** `until`: ISO 8601, UTC; it ends by trusted time. */
  | { readonly kind: 'locked'; readonly until: string }
  /** It is not known what keeps the point. */
  | { readonly kind: 'unreadable'; readonly reason: string };

/** What keeps the points of one set, as it was when `obstaclesIn` read it. */
export interface Obstacles {
  /** Empty: the point may be removed. */
  of(point: KeptPoint): Promise<readonly Obstacle[]>;
}

export type KeptPoint = Pick<PointRecord, 'id' | 'lockedUntil'> & {
  /** It may have been locked when it was published, and its record, which would say so, cannot be read. */
  readonly isLockUnknown?: boolean;
};

/**
 * Reads once what counts for all points. `trustedMs`: trusted time, since 1970; undefined: it is not known, and no lock
 * has ended. Rejects CORRUPT: then no point may be removed.
 */
export async function obstaclesIn(
  store: Store,
  set: string,
  trustedMs: number | undefined,
): Promise<Obstacles> {
  const leases = Map.groupBy(await leasesOf(store), (lease) => keyOf(lease));
  const marked = await markedIds(store, set);
  return {
    async of({ id, lockedUntil, isLockUnknown }) {
      const users = leases.get(keyOf({ set, point: id })) ?? [];
      const place = marked.has(id) ? { set, id } : undefined;
      return [
        ...users.map(({ holder }): Obstacle => ({ kind: 'used', by: holder })),
        ...(await byMarks(store, place, { lockedUntil, trustedMs })),
        ...(isLockUnknown ? [LOCK_UNKNOWN] : []),
      ];
    },
  };
}

const LOCK_UNKNOWN: Obstacle = {
  kind: 'unreadable',
  reason:
    'neither its record nor the copy of that can be read, so it is not known until when it is locked ' +
    '(put one of both back, then "holdfast store repair"; docs/keep.md says more)',
};

async function byMarks(
  store: Store,
  marked: PointPlace | undefined,
  {
    lockedUntil,
    trustedMs,
  }: Pick<KeptPoint, 'lockedUntil'> & { readonly trustedMs: number | undefined },
): Promise<readonly Obstacle[]> {
  try {
    const marks = marked && (await readMarks(store, marked));
    const until = laterOf(lockedUntil, marks?.lockedUntil);
    const isLocked = until !== undefined && !hasPassed(until, trustedMs);
    return [
      ...(marks?.protected ? [{ kind: 'protected' } as const] : []),
      ...(marks?.holds ?? []).map(({ name }): Obstacle => ({ kind: 'held', name })),
      ...(isLocked ? [{ kind: 'locked', until } as const] : []),
    ];
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return [{ kind: 'unreadable', reason: cause.message }];
  }
}

/** A lock is only ever extended. */
export function laterOf(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Date.parse(a) > Date.parse(b) ? a : b;
}

function hasPassed(until: string, trustedMs: number | undefined): boolean {
  return trustedMs !== undefined && Date.parse(until) <= trustedMs;
}

/** For the person who wants to remove the point: IN_USE if only sessions keep it, otherwise KEPT. */
export function removalRefused(id: string, obstacles: readonly Obstacle[]): CatalogError {
  const users = obstacles.flatMap((it) => (it.kind === 'used' ? [it.by] : []));
  if (users.length === obstacles.length) {
    return new CatalogError('IN_USE', `${id} is in use by ${users.join(', ')}: discard or keep it`);
  }
  const reasons = obstacles.map((it) => obstacleText(id, it)).join('; ');
  return new CatalogError('KEPT', `${id} stays: ${reasons}`);
}

/** With what a person can do about it. */
export function obstacleText(id: string, it: Obstacle): string {
  if (it.kind === 'used') return `it is in use by ${it.by} (keep or discard that session first)`;
  if (it.kind === 'held') {
    return `it is held by "${it.name}" ("holdfast backup release ${id} --name ${it.name}")`;
  }
  if (it.kind === 'protected') return `it is protected ("holdfast backup unprotect ${id}")`;
  if (it.kind === 'unreadable') return it.reason;
  return `it is locked until ${it.until}, by trusted time ("holdfast clock show")`;
}

function keyOf({ set, point }: Pick<Lease, 'set' | 'point'>): string {
  return `${set}/${point}`;
}
