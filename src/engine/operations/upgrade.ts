import { join } from 'node:path/posix';
import { isOutdated, upgradeSet } from '../../catalog/upgraded-set.ts';
import { checkLeases, leaseTurn } from '../../catalog/leases.ts';
import { checkSetRecords } from '../../catalog/set-copies.ts';
import { type OpenSet, setNames } from '../../catalog/sets.ts';
import { ALL_FEATURES, NEW_STORE_FEATURES, needsOf } from '../../formats/store/base/features.ts';
import { type JobFiles, openJobFiles } from '../../jobs/job-files.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { checkSession } from '../../sessions/check/checked-session.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { sessionIds } from '../../sessions/state/session-files.ts';
import { sessionInUse } from '../../sessions/state/held-session.ts';
import { listSessions } from '../../sessions/state/listed-sessions.ts';
import { lastPack } from '../../store/index/missing-packs.ts';
import { lockStore } from '../../store/directory/store-lock.ts';
import { writeStoreRecord } from '../../store/directory/store-record.ts';
import {
  type Engine,
  openSet,
  readKnownSet,
  type SecretSource,
  type WorkOptions,
  whereNeeded,
} from '../base/engine.ts';
import type { JobService } from '../jobs/job-service.ts';
import { SERVICE_LOCK } from '../base/service-lock.ts';

/** A summary for people who decide; in full: formats/store/base/features.md. */
const CHANGES: Readonly<Record<(typeof NEW_STORE_FEATURES)[number], string>> = {
  'checked-records':
    'every record gets a checksum, so that damage is found without a key; sessions have to be stopped for that',
  'point-chain':
    'each recovery point names the one before it, so that "store check" notices one that was deleted',
  'sealed-overlay':
    'what guests of sessions write is encrypted where their set is, and has checksums; a session that is stopped now ' +
    'does so once it is resumed, and what it wrote before stays in plain text until it ends',
  'placed-session':
    'sessions can have a machine on a hypervisor, which an older release would not withdraw before it discards one',
};

/**
 * Adds the features of this release that the store lacks; without `confirmed` only lists them. Rejects WRONG_KEY if a
 * set's key is needed, RUNNING if a session runs, BUSY. May be interrupted, and repeated.
 */
export async function upgrade(
  engine: Engine,
  jobs: JobService | undefined,
  { confirmed }: RequestOf<'store/upgrade'>,
  { secrets, report }: Pick<WorkOptions, 'secrets' | 'report'>,
): Promise<ResultOf<'store/upgrade'>> {
  const { store } = engine;
  const missing = NEW_STORE_FEATURES.filter((feature) => !store.has(feature));
  const plan = {
    store: store.directory,
    features: missing.map((feature) => ({ feature, changes: CHANGES[feature] })),
  };
  if (!confirmed || missing.length === 0) return { ...plan, upgraded: false };
  await using stack = new AsyncDisposableStack();
  stack.use(await lockStore(store, 'store upgrade'));
  // Points are forgotten without the store's lock.
  stack.use(await leaseTurn(store, 'store upgrade'));
  const files = await jobFilesOf(engine, jobs, stack);
  const { id, created, needs } = store.record;
  const gaplessFrom = await gaplessFromOf(engine);
  // Refuse before anything is changed: older releases can then continue to use the store.
  await requireStopped(engine);
  const sets = await outdatedSets(engine, secrets);
  // From now on no older release can open the store, even if this process dies.
  await writeStoreRecord(store.files, store.directory, {
    ...{ id, created, version: 2, needs, gaplessFrom },
  });
  for (const [position, set] of sets.entries()) {
    report({ event: 'progress', phase: 'records', position, total: sets.length });
    await upgradeSet(store, set);
  }
  for (const session of await sessionIds(store)) await checkSession(engine.store, session);
  await checkLeases(store);
  await files.check(async () => {
    const isNew = new Set<string>(NEW_STORE_FEATURES);
    const needs = needsOf(ALL_FEATURES.filter((it) => isNew.has(it) || store.has(it)));
    const record = { id, created, version: 2, needs, gaplessFrom } as const;
    await writeStoreRecord(store.files, store.directory, record);
    store.renew(record);
  });
  return { ...plan, upgraded: true };
}

/** The release of 22 November left gaps in the packs' numbers; a check must not report them as lost packs. */
async function gaplessFromOf({ store }: Engine): Promise<number | undefined> {
  const { record } = store;
  return record.version === 1 ? 1 + (await lastPack(store)) : record.gaplessFrom;
}

/** The files of the service that holds the store. If none runs, none can start in the meantime. */
async function jobFilesOf(
  { store, memory }: Engine,
  jobs: JobService | undefined,
  stack: AsyncDisposableStack,
): Promise<JobFiles> {
  if (jobs) return jobs.files;
  stack.use(await store.files.lock(join(store.directory, SERVICE_LOCK), 'store upgrade'));
  return openJobFiles(store.files, store.directory, { memory });
}

async function requireStopped(engine: Engine): Promise<void> {
  for (const { record, holder } of (await listSessions(engine.store)).sessions) {
    if (holder === undefined) continue;
    throw new SessionError('RUNNING', sessionInUse(record.id, holder));
  }
}

/** The sets with records that must be rewritten, opened. */
async function outdatedSets(engine: Engine, secrets: SecretSource): Promise<OpenSet[]> {
  const { store } = engine;
  const open: OpenSet[] = [];
  for (const name of await setNames(store)) {
    const { seal } = await readKnownSet(engine, name);
    const problems = await checkSetRecords(store, name);
    if (!seal || problems.length > 0 || (await isOutdated(store, name))) {
      open.push(await openSet(engine, name, whereNeeded(secrets)));
    }
  }
  return open;
}
