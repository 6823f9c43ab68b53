import type { DomainKeys } from '../formats/store/packs/frame.ts';
import type { HeadRecord } from '../formats/store/catalog/head.ts';
import type { PointLink, PointRecord } from '../formats/store/catalog/point.ts';
import type { Store } from '../store/directory/store.ts';
import { CatalogError } from './catalog-error.ts';
import {
  headPath,
  linkToFile,
  type MachineInSet,
  machinesWithHead,
  readHead,
} from './point-chain.ts';
import { listPoints, type PointList, pointPath } from './points.ts';
import { type Tombstone, tombstones } from './publication.ts';
import type { RecordProblem } from './set-copies.ts';

/**
 * Reports defects of the chain of a set's recovery points: see formats/store/catalog/head.md. With the set's keys
 * links are authentic. A point that is published or forgotten in the meantime may look wrong once, but not twice.
 */
export async function checkChain(
  store: Store,
  set: string,
  keys: DomainKeys | undefined,
): Promise<RecordProblem[]> {
  if (!store.has('point-chain')) return [];
  const first = await chainProblems(store, set, keys);
  if (first.length === 0) return [];
  const again = await chainProblems(store, set, keys);
  return again.filter(({ reason }) => first.some((it) => it.reason === reason));
}

async function chainProblems(
  store: Store,
  set: string,
  keys: DomainKeys | undefined,
): Promise<RecordProblem[]> {
  const list = await listPoints(store, set, keys);
  const key = keys?.record;
  const graves = await tombstones(store, set, key, () => true);
  const problems: RecordProblem[] = [];
  for (const { path, record, isLost } of graves) {
    if (!record && !isLost)
      problems.push({ path, reason: `${path}: the record of a forgotten point is damaged` });
  }
  const find = await finder(store, set, { list, graves });
  const missed = new Set<string>();
  const look = async (link: PointLink, by: string): Promise<void> => {
    const problem = missed.has(link.id) ? undefined : await find(link, by);
    if (!problem) return;
    missed.add(link.id);
    problems.push(problem);
  };
  for (const { id, previous } of list.points) {
    if (previous) await look(previous, `recovery point ${id}`);
  }
  const machines = new Set(list.points.map(({ machine }) => machine));
  for (const { record } of graves) if (record) machines.add(record.machine);
  for (const machine of await machinesWithHead(store, set)) machines.add(machine);
  for (const machine of machines) {
    const head = await headOrProblem(store, { set, machine }, key);
    if ('reason' in head) problems.push(head);
    else for (const link of linksOf(head)) await look(link, headPath(store, head));
  }
  return problems;
}

function linksOf({ point, points }: HeadRecord): readonly PointLink[] {
  return point ? [point, ...points] : points;
}

async function headOrProblem(
  store: Store,
  of: MachineInSet,
  key: Uint8Array | undefined,
): Promise<HeadRecord | RecordProblem> {
  const path = headPath(store, of);
  try {
    const head = await readHead(store, of, key);
    if (head) return head;
    const reason =
      `${path} is missing: recovery points of ${of.machine} may have been deleted unnoticed; ` +
      'the next backup writes it again';
    return { path, reason };
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return { path, reason: cause.message };
  }
}

type Find = (link: PointLink, by: string) => Promise<RecordProblem | undefined>;

/** Looks for the point that a link names, once for each name. */
async function finder(
  store: Store,
  set: string,
  { list, graves }: { readonly list: PointList; readonly graves: readonly Tombstone[] },
): Promise<Find> {
  const there = new Map<string, PointRecord>(list.points.map((point) => [point.id, point]));
  const buried = new Map(graves.map((grave) => [grave.id, grave]));
  const damaged = new Set(list.damaged.map(({ id }) => id));
  return async (link, by) => {
    const { id } = link;
    const path = pointPath(store, { set, id });
    const point = there.get(id);
    const grave = buried.get(id);
    // Damaged points are reported already.
    if (damaged.has(id) || (grave && !grave.record)) return undefined;
    const found = point
      ? { path, record: point }
      : grave?.record && { path: grave.path, record: grave.record };
    if (!found) {
      const what = `recovery point ${id} was deleted: ${by} names it`;
      const mended = '"holdfast store repair" puts it back if its copy is whole';
      const reason = `${what}; ${mended}; if that was intended, run "holdfast backup forget ${id}"`;
      return { path, reason };
    }
    const now = await linkToFile(store, found.path, found.record);
    if (!now || Buffer.compare(now.digest, link.digest) === 0) return undefined;
    const reason = `${found.path} is not the record that ${by} names: it was altered, or added later`;
    return { path: found.path, reason };
  };
}
