import { forgottenRoots, neededSource } from '../../catalog/removal/needed.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { finishRemovals, removedSets } from '../../catalog/removal/removed-sets.ts';
import { listSets, type OpenSet, setNames } from '../../catalog/sets.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Store } from '../../store/directory/store.ts';
import { lockStore, SWEEP_HOLDER } from '../../store/directory/store-lock.ts';
import { StoreError } from '../../store/packs/store-error.ts';
import type { Obstacle } from '../../store/directory/roots.ts';
import { writeMissingLists } from '../../store/sweep/missing-lists.ts';
import { type SweepResult, type SweptBytes, sweepPacks } from '../../store/sweep/sweep-packs.ts';
import { type Engine, openSet, type WorkOptions, whereNeeded } from '../base/engine.ts';
import { kindOfFailure } from '../base/failures.ts';
import { checkDeletions } from '../points/deletions.ts';

/**
 * Gives back the space of what neither recovery points nor readers need. Works without any key; with keys of sets it
 * also authenticates their recovery points, and makes lists of references that older packs lack. Rejects FROZEN,
 * LOCKED, also between two slices.
 */
export async function sweep(
  engine: Engine,
  { dryRun }: RequestOf<'store/sweep'>,
  { secrets, signal, report, giveWay }: WorkOptions,
): Promise<ResultOf<'store/sweep'>> {
  const { store } = engine;
  if (!dryRun) {
    await checkDeletions(engine);
    await finishAll(store);
  }
  const open = await openSets(engine, { secrets });
  const onWait = (busy: string): void => report({ event: 'notice', message: `waiting: ${busy}` });
  const progress =
    (phase: string) =>
    (position: number, total: number): void =>
      report({ event: 'progress', phase, position, total });
  const attempt = (): Promise<SweepResult> =>
    sweepPacks(store, {
      ...{ isDryRun: dryRun, signal, onWait, pause: giveWay },
      needed() {
        const source = neededSource(store, new Map(open.map(({ name, keys }) => [name, keys])));
        return async () => {
          // An alarm, or a lockdown, may begin while it works.
          if (!dryRun) await checkDeletions(engine);
          return await source();
        };
      },
      forgotten: () => forgottenRoots(store),
      removedAt: () => removedAt(store),
      onProgress: (phase, position, total) => progress(phase)(position, total),
    });
  const keys = new Map(open.map(({ record, keys: own }) => [hexOf(record.domain), own]));
  let result = await attempt();
  const isListed = ({ unlisted, domain }: Obstacle): boolean =>
    unlisted === undefined || !keys.has(domain);
  if (!dryRun && !result.obstacles.every(isListed)) {
    await writeMissingLists(store, { keys, signal, onWait, onProgress: progress('lists') });
    result = await attempt();
  }
  return summaryOf(result, { dryRun, keys, names: await namesByDomain(store) });
}

/** What a sweep would give back, found out without any key. */
export async function reclaimableIn(store: Store): Promise<ResultOf<'store/sweep'>> {
  const result = await sweepPacks(store, {
    isDryRun: true,
    needed: () => neededSource(store, new Map()),
    forgotten: () => forgottenRoots(store),
    removedAt: () => removedAt(store),
  });
  const names = await namesByDomain(store);
  return summaryOf(result, { dryRun: true, keys: new Map(), names });
}

/** The sets of which a key is given, or that need none. */
async function openSets(
  engine: Engine,
  { secrets }: Pick<WorkOptions, 'secrets'>,
): Promise<OpenSet[]> {
  const open: OpenSet[] = [];
  for (const name of await setNames(engine.store)) {
    try {
      open.push(await openSet(engine, name, whereNeeded(secrets)));
    } catch (cause) {
      // What cannot be read of the set holds it back, and is named.
      if (kindOfFailure(cause) === undefined) throw cause;
    }
  }
  return open;
}

/** What is left of removed sets; a writer that is busy for long leaves it to the next sweep. */
async function finishAll(store: Store): Promise<void> {
  try {
    await using _lock = await lockStore(store, SWEEP_HOLDER);
    await finishRemovals(store);
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'BUSY') {
      if (!(cause instanceof CatalogError)) throw cause;
    }
  }
}

/** By domain. A record that cannot be read is reported by what is needed. */
async function removedAt(store: Store): Promise<ReadonlyMap<string, number>> {
  const at = new Map<string, number>();
  for (const { domain, lastPack } of await knownRemovals(store)) {
    at.set(hexOf(domain), Math.max(lastPack, at.get(hexOf(domain)) ?? 0));
  }
  return at;
}

async function knownRemovals(store: Store): ReturnType<typeof removedSets> {
  try {
    return await removedSets(store);
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return [];
  }
}

/** Those of removed sets only for what no other set has. */
async function namesByDomain(store: Store): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>();
  for (const { name, domain } of await knownRemovals(store)) {
    names.set(hexOf(domain), [`${name} (removed)`]);
  }
  for (const { domain } of (await listSets(store)).sets) names.delete(hexOf(domain));
  for (const { name, domain } of (await listSets(store)).sets) {
    const of = names.get(hexOf(domain)) ?? [];
    of.push(name);
    names.set(hexOf(domain), of);
  }
  return names;
}

interface Summary {
  readonly dryRun: boolean;
  /** By domain: with others, a list that is missing can be made. */
  readonly keys: ReadonlyMap<string, unknown>;
  readonly names: ReadonlyMap<string, string[]>;
}

function summaryOf(
  { domains, obstacles, damage, ...counts }: SweepResult,
  { dryRun, keys, names }: Summary,
): ResultOf<'store/sweep'> {
  const sum = (of: keyof SweptBytes): number =>
    [...domains.values()].reduce((total, bytes) => total + bytes[of], 0);
  const held = Map.groupBy(obstacles, ({ where, what }) => `${where}\n${what}`);
  const { packs, sweptPacks, removedPacks, copiedPacks, freesHoles } = counts;
  return {
    ...{ dryRun, packs, sweptPacks, removedPacks, copiedPacks, freesHoles },
    ...{ freedBytes: sum('freedBytes'), copyFreedBytes: sum('copyFreedBytes') },
    ...{ leftBytes: sum('leftBytes') },
    sets: [...domains].map(([domain, bytes]) => ({ sets: names.get(domain) ?? [], ...bytes })),
    held: [...held.values()].map((of) => ({
      sets: of.flatMap(({ domain }) => names.get(domain) ?? []),
      where: of[0]!.where,
      what: of[0]!.what,
      needsKey: of.some(({ unlisted, domain }) => unlisted !== undefined && !keys.has(domain)),
    })),
    damage: [...damage],
  };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
