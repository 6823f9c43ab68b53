import type { Order } from '../../box/store-memory.ts';
import { listSets } from '../../catalog/sets.ts';
import type { RememberedSet } from '../../formats/store/service/box.ts';
import { keyedHash } from '../../formats/store/base/digest.ts';
import type { JobRecord, ScheduleRecord } from '../../formats/store/service/job.ts';
import type { ServedRecord } from '../../formats/store/sessions/served.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { jobOrder, scheduleOrder } from '../../jobs/job-files.ts';
import { hasEnded } from '../../jobs/job-state.ts';
import { utf8 } from '../../lib/bytes.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { isServed, readServed } from '../../sessions/state/served-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { listSessions } from '../../sessions/state/listed-sessions.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { AlarmError } from '../../alarms/alarm-error.ts';
import type { Engine } from '../base/engine.ts';
import type { JobService } from '../jobs/job-service.ts';
import { servedOrder, sessionOrder } from '../sessions/orders.ts';
import { type OlderMachine, olderMachines } from '../points/published-points.ts';
import { rememberedSet } from '../base/remembered-sets.ts';

/*
 * Orders in a store that this box did not give: the store came from another box, was away, or an attacker with write
 * access wrote them. They are shown, and obeyed once an administrator agrees. Exactly the shown orders are adopted.
 */
type Plan = Omit<ResultOf<'store/adopt'>, 'adopted'>;

interface Foreign {
  /** All readable sets, as they were when the plan was made. */
  readonly sets: Readonly<Record<string, RememberedSet>>;
  readonly sessions: readonly ServedSession[];
  readonly jobs: readonly JobRecord[];
  readonly schedules: readonly ScheduleRecord[];
  /** Machines whose state in the store is older than the one that this box published. */
  readonly older: readonly OlderMachine[];
}

interface ServedSession {
  readonly record: SessionRecord;
  /** Undefined: it is not resumed automatically. */
  readonly served: ServedRecord | undefined;
}

/** Jobs and schedules belong to the service: a command without one adopts the rest. */
export type AdoptingJobs = JobService | undefined;

/**
 * Without the digest of a plan, returns the plan; with it, adopts what was shown. Rejects REFUSED if that has
 * changed.
 */
export async function adopt(
  engine: Engine,
  jobs: AdoptingJobs,
  { plan: wanted }: RequestOf<'store/adopt'>,
): Promise<ResultOf<'store/adopt'>> {
  const { foreign, plan } = await plannedOf(engine, jobs);
  if (wanted === undefined) return { ...plan, adopted: false };
  if (wanted !== plan.plan) {
    throw new AlarmError('REFUSED', 'the store has changed since then: look at it again');
  }
  await adoptAll(engine, jobs, foreign);
  return { ...plan, adopted: true };
}

/**
 * Adopts, once, what an earlier release has left; returns it in words, for the audit log and the alarm that come
 * first.
 */
export async function firstAdoption(
  engine: Engine,
  jobs: AdoptingJobs,
): Promise<{ readonly words: readonly string[]; readonly adopt: () => Promise<void> }> {
  const { foreign, plan } = await plannedOf(engine, jobs);
  return { words: wordsOf(plan), adopt: () => adoptAll(engine, jobs, foreign) };
}

/**
 * Describes the orders that are not obeyed automatically; a stopped session waits for a person anyway. Called twice a
 * minute: machines with older recovery points are left to checks, backups and lists.
 */
export async function foreignOrders(engine: Engine, jobs: JobService): Promise<string[]> {
  const { plan } = await plannedOf(engine, jobs, []);
  return wordsOf({ ...plan, sessions: plan.sessions.filter(({ starts }) => starts) });
}

async function plannedOf(
  engine: Engine,
  jobs: AdoptingJobs,
  older?: readonly OlderMachine[],
): Promise<{ readonly foreign: Foreign; readonly plan: Plan }> {
  const listed = (await listSets(engine.store)).sets;
  const foreign = {
    sets: Object.fromEntries(listed.map((it) => [it.name, rememberedSet(it)])),
    sessions: await foreignSessions(engine),
    jobs: jobs?.queue.foreign() ?? [],
    schedules: jobs?.schedules.foreign() ?? [],
    older: older ?? (await olderMachines(engine, [])),
  };
  const remembered = await engine.memory.look();
  const sets = Object.entries(foreign.sets).flatMap(([set, now]) => {
    const known = remembered.set(set);
    const isSame = known?.domain === now.domain && known.encrypted === now.encrypted;
    if (!known || isSame) return [];
    return [{ set, encrypted: now.encrypted, wasEncrypted: known.encrypted }];
  });
  const shown = {
    store: engine.store.directory,
    memory: (await engine.box.problem()) ?? null,
    lost: [...remembered.lost],
    sessions: foreign.sessions.map(({ record, served }) => ({
      ...{ session: record.id, set: record.set, point: record.point, listen: record.listen },
      ...{ tls: record.tls, starts: served !== undefined },
      nfs: record.nfs ? record.nfs.allow.slice() : null,
    })),
    jobs: foreign.jobs.map(({ id, kind, request }) => ({ job: id, kind, request })),
    schedules: foreign.schedules.map(({ name, at, kind, request }) => ({
      ...{ schedule: name, at, kind, request },
    })),
    sets,
    older: foreign.older.map(({ set, machine, point }) => ({ set, machine, point })),
  };
  const orders = JSON.stringify([...ordersOf(foreign).map(({ order }) => order), shown]);
  const plan = Buffer.from(keyedHash(new Uint8Array(0), utf8(orders))).toString('hex');
  return { foreign, plan: { ...shown, plan } };
}

async function adoptAll(engine: Engine, jobs: AdoptingJobs, foreign: Foreign): Promise<void> {
  await engine.memory.adopt([...ownWork(jobs), ...ordersOf(foreign)], foreign.sets);
  await engine.memory.published.forget(foreign.older);
  await jobs?.queue.adopt(foreign.jobs);
  await jobs?.schedules.adopt(foreign.schedules);
}

function ordersOf({ sessions, jobs, schedules }: Foreign): Order[] {
  return [
    ...sessions.flatMap(({ record, served }) => [
      sessionOrder(record),
      ...(served ? [servedOrder(record.id, served)] : []),
    ]),
    ...jobs.map(jobOrder),
    ...schedules.map(scheduleOrder),
  ];
}

/** An unreadable memory does not contain the queue's own orders; this process itself accepted those. */
function ownWork(jobs: AdoptingJobs): Order[] {
  const running = (jobs?.queue.list() ?? []).flatMap(({ job }) =>
    hasEnded(job) ? [] : [jobOrder(job)],
  );
  const scheduled = (jobs?.schedules.list() ?? []).map(({ schedule }) => scheduleOrder(schedule));
  return [...running, ...scheduled];
}

async function foreignSessions(engine: Engine): Promise<ServedSession[]> {
  const { isOurs } = await engine.memory.look();
  return (await servedOf(engine)).filter(
    ({ record, served }) =>
      !isOurs(sessionOrder(record)) || (served && !isOurs(servedOrder(record.id, served))),
  );
}

/** The readable ones; the list of sessions shows the others. */
async function servedOf(engine: Engine): Promise<ServedSession[]> {
  const { sessions } = await listSessions(engine.store);
  const found: ServedSession[] = [];
  for (const { record } of sessions) {
    try {
      const served = (await isServed(engine.store, record.id))
        ? await readServed(engine.store, record.id)
        : undefined;
      found.push({ record, served });
    } catch (cause) {
      if (!(cause instanceof SessionError || cause instanceof SystemError)) throw cause;
    }
  }
  return found;
}

function wordsOf({ sessions, jobs, schedules, sets, lost, older }: Plan): string[] {
  return [
    ...sessions.map(
      ({ session, listen, tls, starts, nfs }) =>
        `session ${session} (${starts ? 'starts automatically' : 'stopped'}, at ${listen} ` +
        `${tls ? 'with' : 'without'} TLS${nfs ? `, NFS for ${nfs.join(', ')}` : ''})`,
    ),
    ...jobs.map(({ job, kind }) => `job ${job} (${kind})`),
    ...schedules.map(({ schedule, kind, at }) => `schedule ${schedule} (${kind}, ${at})`),
    ...older.map(
      ({ set, machine, point }) =>
        `the store (an older state of ${machine} in set ${set}, before ${point})`,
    ),
    ...lost.map((it) => `the store (had the feature "${it}", and now claims not to)`),
    ...sets.map(({ set, encrypted, wasEncrypted }) =>
      wasEncrypted && !encrypted
        ? `set ${set} (was encrypted, and now claims not to be)`
        : `set ${set} (has another key than before)`,
    ),
  ];
}
