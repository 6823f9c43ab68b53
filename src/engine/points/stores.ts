import { resolve } from 'node:path/posix';
import { checkSetRecords } from '../../catalog/set-copies.ts';
import { checkChain } from '../../catalog/check-chain.ts';
import { tryHoldPoint } from '../../catalog/point-lease.ts';
import { listPoints } from '../../catalog/points.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { type OpenSet, setNames } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { Damage } from '../../operations/nouns/backup.ts';
import type { Report } from '../../operations/events.ts';
import type { CheckResult, RebuiltIndex, StoreSummary } from '../../operations/nouns/store.ts';
import { checkDirectories, checkRecords } from './check-records.ts';
import { findStrays } from './strays.ts';
import { damageNotice } from '../base/damage-notice.ts';
import { olderMachines } from './published-points.ts';
import { checkPacks, type ManifestChecker, manifestChecker } from '../../store/check/check.ts';
import type { Problem } from '../../store/check/problem.ts';
import { missingPackProblems, missingPacks } from '../../store/index/missing-packs.ts';
import { createStore, openStore, type Store } from '../../store/directory/store.ts';
import { rebuildIndex } from '../../store/write/store-writer.ts';
import { realWorld } from '../../sys/world.ts';
import { plainSessions } from '../../sessions/check/session-check.ts';
import { kindOfFailure } from '../base/failures.ts';
import { type Engine, openSet, type SecretSource, whereNeeded } from '../base/engine.ts';

export async function makeStore(directory: string): Promise<StoreSummary> {
  const world = realWorld();
  const path = resolve(directory);
  await createStore(world, path);
  await using store = await openStore(world, path);
  return { store: path, id: store.id };
}

export interface CheckOptions {
  readonly readData: boolean;
  /** Rejects WRONG_KEY without a secret: such sets are reported as locked. */
  readonly secrets: SecretSource;
  readonly signal: AbortSignal;
  readonly report: Report;
}

export async function checkStore(
  engine: Engine,
  { readData, secrets, signal, report }: CheckOptions,
): Promise<CheckResult> {
  const { store } = engine;
  const { problems, onProblem, end } = problemList(store.directory);
  if (!(await checkDirectories(engine, onProblem))) {
    const nothing = { packs: 0, frames: 0, bytes: 0, points: 0, locked: [], wrongKey: [] };
    return { ...nothing, problems, plainSessions: [], strays: await findStrays(engine) };
  }
  const { open, locked, wrongKey } = await openSets(engine, secrets, onProblem);
  await checkRecords(engine, open, onProblem);
  const missing = await missingPacks(store);
  const domains = new Map(open.map(({ record, keys }) => [hexOf(record.domain), keys]));

  const packs = await checkPacks(store.packs, {
    readData,
    signal,
    onProblem,
    keysOf: (domain) => domains.get(hexOf(domain)),
    onProgress: (position, total, readBytes) =>
      report({ event: 'progress', phase: 'packs', position, total, readBytes }),
  });
  let points = 0;
  for (const name of await setNames(store)) {
    points += await checkPoints(engine, name, { open, onProblem, signal });
  }
  for (const { path, reason } of await olderMachines(engine, open)) {
    onProblem({ where: path, what: reason });
  }
  // If every tree was walked, missing parts were reported block by block.
  const isAllOpen = open.length === (await setNames(store)).length;
  for (const it of isAllOpen ? [] : await missingPackProblems(store, missing)) onProblem(it);
  end();
  return {
    ...{ ...packs, points, locked, wrongKey, problems },
    plainSessions: await plainSessions(engine.store),
    strays: await findStrays(engine),
  };
}

/** A store that has lost its disk has millions, too many to read. */
const PROBLEMS_MAX = 10_000;

export function problemList(store: string) {
  const problems: Problem[] = [];
  let more = 0;
  return {
    problems,
    onProblem({ where, what }: Problem): void {
      // Errors of readers also begin with the path, and end with the advice to run this very check.
      const rest = what.startsWith(where) ? what.slice(where.length).replace(/^[: ]+/, '') : what;
      const own = rest.replace(/[;:] run "store check"$/, '');
      if (problems.length < PROBLEMS_MAX) problems.push({ where, what: own });
      else more++;
    },
    end(): void {
      if (more > 0) problems.push({ where: store, what: `${more} more problems are not listed` });
    },
  };
}

/** The sets whose key is given. `wrongKey`: a key was given for them that opens none of the store's encrypted sets. */
export async function openSets(
  engine: Engine,
  secrets: SecretSource,
  onProblem: (problem: Problem) => void,
) {
  const open: OpenSet[] = [];
  const locked: string[] = [];
  const tried: string[] = [];
  for (const name of await setNames(engine.store)) {
    let isGiven = false;
    const given: SecretSource = async (...asked) => {
      const secret = await whereNeeded(secrets)(...asked);
      isGiven = secret !== undefined;
      return secret;
    };
    try {
      open.push(await openSet(engine, name, given));
    } catch (cause) {
      if (cause instanceof CatalogError && cause.code !== 'WRONG_KEY') {
        // Defects of its copies are reported with the records.
        const { store } = engine;
        const isReported = (await checkSetRecords(store, name)).length > 0;
        if (!isReported || cause.code === 'ALTERED') {
          onProblem({ where: `set ${name}`, what: cause.message });
        }
        continue;
      }
      if (kindOfFailure(cause) !== 'wrong-key') throw cause;
      locked.push(name);
      if (isGiven) tried.push(name);
    }
  }
  const isAnyOpen = open.some(({ record }) => record.slots.length > 0);
  return { open, locked, wrongKey: isAnyOpen ? [] : tried };
}

/** With the set's keys records are authenticated and manifests walked; without, records are parsed. */
async function checkPoints(
  { store }: Engine,
  name: string,
  {
    open,
    onProblem,
    signal,
  }: {
    readonly open: readonly OpenSet[];
    readonly onProblem: (problem: Problem) => void;
    readonly signal: AbortSignal;
  },
): Promise<number> {
  const set = open.find((it) => it.name === name);
  const checker = set && manifestChecker(store.packs, set.keys, onProblem);
  const { points, damaged } = await listPoints(store, name, set?.keys);
  const chain = await checkChain(store, name, set?.keys);
  for (const { path, reason } of [...damaged, ...chain]) onProblem({ where: path, what: reason });
  for (const point of points) {
    signal.throwIfAborted();
    if (set && checker) await checkPoint(store, set, { point, checker });
  }
  return points.length;
}

/** One that was forgotten after it was listed needs nothing any longer. */
async function checkPoint(
  store: Store,
  set: OpenSet,
  { point, checker }: { readonly point: PointRecord; readonly checker: ManifestChecker },
): Promise<void> {
  await using lease = await tryHoldPoint(store, set, point, `store check of ${point.id}`);
  if (!lease) return;
  for (const part of [...point.disks, ...(point.files ?? [])]) {
    await checker.check(part, `${point.id}/${part.name}`);
  }
}

export async function remakeIndex({ store }: Engine, report: Report): Promise<RebuiltIndex> {
  const damage: Damage[] = [];
  await rebuildIndex(store, {
    onIndexing: (position, total) =>
      report({ event: 'progress', phase: 'indexing', position, total }),
    onDamage(where, what) {
      damage.push({ where, what });
      report({ event: 'notice', message: damageNotice({ where, what }) });
    },
  });
  return { rebuilt: true, damage };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
