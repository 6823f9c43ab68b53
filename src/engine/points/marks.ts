import { checkName } from '../../catalog/names.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { findPoint, readPlaces } from '../../catalog/points.ts';
import { changeMarks, markedIds, readMarks } from '../../catalog/removal/marks.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { laterOf } from '../../catalog/removal/obstacles.ts';
import { lockDays, putLockDays } from '../../catalog/removal/set-lock.ts';
import {
  type Hold,
  HOLDS_MAX,
  LOCK_DAYS_MAX,
  type MarksRecord,
  TAGS_MAX,
} from '../../formats/store/catalog/marks.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { SchemaError } from '../../lib/schema.ts';
import type { Marks } from '../../operations/base/marks.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Store } from '../../store/directory/store.ts';
import { lockStore } from '../../store/directory/store-lock.ts';
import { switchOn } from '../../store/directory/switch-on.ts';
import { leaseTurn } from '../../catalog/leases.ts';
import { type Engine, openPoint, openSet, type SecretSource } from '../base/engine.ts';
import { lockBeginNow } from '../base/trusted-now.ts';

/* Notes, tags, protection, holds and locks of recovery points: changed, and shown. */

type Marked = ResultOf<'backup/note'>;
type Change = (before: MarksRecord) => Partial<MarksRecord>;

export async function mark(
  engine: Engine,
  query: string,
  secrets: SecretSource,
  change: Change,
): Promise<Marked> {
  const place = await findPoint(engine.store, query);
  return changed(engine, await openSet(engine, place.set, secrets), place.id, change);
}

/** Also of a point whose record is damaged: it can only be forgotten once it is released. */
async function changed(
  { store, memory }: Engine,
  set: OpenSet,
  id: string,
  change: Change,
): Promise<Marked> {
  const after = await changeMarks(store, set, id, (before) => ({ ...before, ...change(before) }));
  // The caller has the key: from now on this record counts, also after an older one was put back.
  await memory.marked.note({ set: set.name, point: id, counter: after.counter });
  const { points, damaged } = await readPlaces(store, [{ set: set.name, id }], set.keys);
  const [point = { lockedUntil: undefined }] = points;
  const shown = shownMarks(point, after)!;
  return { point: id, ...shown, ...(damaged[0] && { unreadable: damaged[0].reason }) };
}

/**
 * The same for what keeps a point: an older release must not forget it. Rejects UNSUPPORTED in a store of the previous
 * release.
 */
export async function keep(
  engine: Engine,
  query: string,
  secrets: SecretSource,
  change: Change,
): Promise<Marked> {
  await fromNowOn(engine.store);
  return mark(engine, query, secrets, change);
}

/** Keeps releases away that would forget the points regardless. */
async function fromNowOn(store: Store): Promise<void> {
  if (store.has('kept-points')) return;
  await using _lock = await lockStore(store, 'the first recovery point that is kept');
  await switchOn(store, 'kept-points');
}

/** Throws BAD_NAME, SchemaError. */
export function tagged({ tags }: MarksRecord, tag: string): Partial<MarksRecord> {
  checkName(tag, 'tag');
  if (tags.includes(tag)) return {};
  if (tags.length >= TAGS_MAX) throw full('tag', `${TAGS_MAX} tags`);
  return { tags: [...tags, tag].toSorted() };
}

export function untagged({ tags, point }: MarksRecord, tag: string): Partial<MarksRecord> {
  if (tags.includes(tag)) return { tags: tags.filter((it) => it !== tag) };
  throw new CatalogError('NOT_FOUND', `${point} has no tag "${tag}": ${named(tags)}`);
}

/** Throws BAD_NAME, SchemaError. */
export function held({ holds }: MarksRecord, name: string, now: Date): Partial<MarksRecord> {
  checkName(name, 'hold');
  if (holds.some((it) => it.name === name)) return {};
  if (holds.length >= HOLDS_MAX) throw full('name', `${HOLDS_MAX} holds`);
  return { holds: [...holds, { name, since: now.toISOString() }] };
}

export function released({ holds, point }: MarksRecord, name: string): Partial<MarksRecord> {
  const rest: readonly Hold[] = holds.filter((it) => it.name !== name);
  if (rest.length < holds.length) return { holds: rest };
  const names = holds.map((it) => it.name);
  throw new CatalogError('NOT_FOUND', `${point} has no hold "${name}": ${named(names)}`);
}

function full(field: string, most: string): SchemaError {
  return new SchemaError([field], `the recovery point has ${most}, which is the most`);
}

function named(names: readonly string[]): string {
  return names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
}

const DAY_MS = 24 * 60 * 60_000;
const DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z)?$/;

export async function lockPoint(
  engine: Engine,
  { point: query, until }: RequestOf<'backup/lock'>,
  secrets: SecretSource,
): Promise<Marked> {
  const nowMs = await lockBeginNow(engine);
  const lockedUntil = timeOf(until);
  const days = (Date.parse(lockedUntil) - nowMs) / DAY_MS;
  if (days <= 0) throw new SchemaError(['until'], `${until} has passed`);
  if (days > LOCK_DAYS_MAX) {
    const why = 'a lock cannot be shortened, so a typing error must not last for ever';
    throw new SchemaError(['until'], `${until} is more than ${LOCK_DAYS_MAX} days ahead: ${why}`);
  }
  const { store } = engine;
  await fromNowOn(store);
  const { set, point } = await openPoint(engine, query, secrets);
  return changed(engine, set, point.id, (before) => {
    const present = laterOf(before.lockedUntil, point.lockedUntil);
    if (laterOf(present, lockedUntil) === lockedUntil) return { lockedUntil };
    const what = `${point.id} is locked until ${present}`;
    throw new SchemaError(['until'], `${what}: a lock can be extended, never shortened`);
  });
}

/** Throws SchemaError: a day that the calendar does not have is no date. */
function timeOf(until: string): string {
  const ms = DATE.test(until) ? Date.parse(until) : Number.NaN;
  const isSame = !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(until.slice(0, 10));
  if (isSame) return new Date(ms).toISOString();
  throw new SchemaError(['until'], `a date (2027-01-31) or a time in UTC (2027-01-31T18:00:00Z)`);
}

/** For how long new points of a set are locked; those that exist stay as they are. Rejects UNSUPPORTED as `keep`. */
export async function lockSet(
  engine: Engine,
  { set: name, days }: RequestOf<'set/lock'>,
  secrets: SecretSource,
): Promise<ResultOf<'set/lock'>> {
  const { store } = engine;
  if (days > 0) await fromNowOn(store);
  const set = await openSet(engine, name, secrets);
  await using _turn = await leaseTurn(store, `set lock ${name}`);
  await putLockDays(store, set, days);
  return { set: name, lockDays: await lockDays(store, name, set.keys.record) };
}

/** What lists say of points: no key, and one short file for each point that has marks. */
export async function marksIn(
  store: Store,
  points: readonly PointRecord[],
): Promise<readonly (Marks | undefined)[]> {
  const marked = new Map<string, ReadonlySet<string>>();
  for (const { set } of points) if (!marked.has(set)) marked.set(set, await markedIds(store, set));
  const found: (Marks | undefined)[] = [];
  for (const point of points) found.push(await marksOf(store, point, marked.get(point.set)));
  return found;
}

/** Undefined: there are none. */
export async function marksOf(
  store: Store,
  point: PointRecord,
  marked?: ReadonlySet<string>,
): Promise<Marks | undefined> {
  if (marked && !marked.has(point.id)) return shownMarks(point, undefined);
  try {
    return shownMarks(point, await readMarks(store, point));
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return { ...shownMarks(point, NONE)!, unreadable: cause.message };
  }
}

const NONE = { note: undefined, tags: [], protected: false, holds: [], lockedUntil: undefined };

function shownMarks(
  { lockedUntil }: Pick<PointRecord, 'lockedUntil'>,
  marks: Omit<MarksRecord, 'set' | 'point' | 'counter'> | undefined,
): Marks | undefined {
  if (!marks && lockedUntil === undefined) return undefined;
  const { note = null, tags, protected: isProtected, holds, lockedUntil: added } = marks ?? NONE;
  const until = laterOf(lockedUntil, added) ?? null;
  return { note, tags, protected: isProtected, holds, lockedUntil: until, unreadable: undefined };
}
