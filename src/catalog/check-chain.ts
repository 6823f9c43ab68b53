import type { DomainKeys } from '../formats/store/frame.ts';
import type { PointLink, PointRecord } from '../formats/store/point.ts';
import type { Store } from '../store/store.ts';
import type { World } from '../sys/world.ts';
import { CatalogError } from './catalog-error.ts';
import { headPath, linkToFile, machinesWithHead, readHead } from './point-chain.ts';
import { listPoints, type PointList, pointPath } from './points.ts';
import { type Tombstone, tombstones } from './publication.ts';
import type { RecordProblem } from './set-copies.ts';

/**
 * What is wrong with the chain of a set's recovery points: see formats/store/head.md. With the set's keys links are
 * authentic. What is published or forgotten in the meantime may look wrong once, but not twice.
 */
export async function checkChain(
  world: World,
  store: Store,
  set: string,
  keys: DomainKeys | undefined,
): Promise<RecordProblem[]> {
  if (!store.has('point-chain')) return [];
  const first = await chainProblems(world, store, set, keys);
  if (first.length === 0) return [];
  const again = await chainProblems(world, store, set, keys);
  return again.filter(({ reason }) => first.some((it) => it.reason === reason));
}

async function chainProblems(
  world: World,
  store: Store,
  set: string,
  keys: DomainKeys | undefined,
): Promise<RecordProblem[]> {
  const list = await listPoints(world, store, set, keys);
  const key = keys?.record;
  const graves = await tombstones(world, store, set, key, () => true);
  const problems: RecordProblem[] = [];
  for (const { path, record } of graves) {
    if (!record)
      problems.push({ path, reason: `${path}: the record of a forgotten point is damaged` });
  }
  const find = await finder(world, store, set, { list, graves });
  const tell = (problem: RecordProblem | undefined): void =>
    void (problem && problems.push(problem));
  for (const { id, previous } of list.points) {
    if (previous) tell(await find(previous, `recovery point ${id}`));
  }
  const machines = new Set(list.points.map(({ machine }) => machine));
  for (const { record } of graves) if (record) machines.add(record.machine);
  for (const machine of await machinesWithHead(world, store, set)) machines.add(machine);
  for (const machine of machines) {
    tell(await checkHead(world, store, { set, machine }, { key, find }));
  }
  return problems;
}

type Find = (link: PointLink, by: string) => Promise<RecordProblem | undefined>;

async function checkHead(
  world: World,
  store: Store,
  of: { readonly set: string; readonly machine: string },
  { key, find }: { readonly key: Uint8Array | undefined; readonly find: Find },
): Promise<RecordProblem | undefined> {
  const path = headPath(store, of);
  try {
    const head = await readHead(world, store, of, key);
    if (head) return head.point && (await find(head.point, path));
    const reason =
      `${path} is missing: whether newer recovery points of ${of.machine} were deleted cannot be known; ` +
      'the next backup writes it again';
    return { path, reason };
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return { path, reason: cause.message };
  }
}

/** Looks for what a link names, once for each name. */
async function finder(
  world: World,
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
    // What is damaged is reported already.
    if (damaged.has(id) || (grave && !grave.record)) return undefined;
    const found = point
      ? { path, record: point }
      : grave?.record && { path: grave.path, record: grave.record };
    if (!found) {
      const reason = `recovery point ${id} was deleted: ${by} names it, and it was never forgotten`;
      return { path, reason };
    }
    const now = await linkToFile(world, found.path, found.record);
    if (!now || Buffer.compare(now.digest, link.digest) === 0) return undefined;
    const reason = `${found.path} is not the record that ${by} names: it was altered, or put there later`;
    return { path: found.path, reason };
  };
}
