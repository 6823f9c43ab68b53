import { join } from 'node:path/posix';
import type { Condition } from '../alarms/alarm-state.ts';
import { type Engine, openEngine, type SecretSource } from '../engine/base/engine.ts';
import type { Hypervisors } from '../engine/hypervisors/hypervisors.ts';
import type { SupervisorEvent } from '../engine/sessions/session-events.ts';
import {
  sessionSupervisor,
  type SessionSupervisor,
} from '../engine/sessions/session-supervisor.ts';
import { type Audit, openAudit } from '../engine/audit/audit.ts';
import type { Feed } from '../engine/server/feed.ts';
import { type Monitor, type MonitorOptions, openMonitor } from '../engine/watch/monitor.ts';
import type { InheritedSockets } from '../engine/sessions/inherited-sockets.ts';
import type { JobService } from '../engine/jobs/job-service.ts';
import { holdNfs } from '../engine/sessions/nfs-restart.ts';
import { SERVICE_LOCK } from '../engine/base/service-lock.ts';
import { clearSessionSockets } from '../engine/sessions/run-session.ts';
import { sweepVerifications } from '../engine/verify/verify-point.ts';
import {
  openSharedDisks,
  renewSharedDisks,
  type SharedDisksPlace,
} from '../engine/sessions/shared-disks.ts';
import { type ProofNeeds, proofRuns } from '../engine/verify/proof-runs.ts';
import { recordGrowth } from '../engine/watch/growth.ts';
import { openJobKeys } from '../engine/jobs/job-keys.ts';
import { jobWork, laneOf } from '../engine/jobs/job-work.ts';
import {
  type IngestMeter,
  recordThroughput,
  type ThroughputRecorder,
} from '../engine/watch/throughput.ts';
import type { JobRecord } from '../formats/store/service/job.ts';
import { hasEnded } from '../jobs/job-state.ts';
import { openJobFiles } from '../jobs/job-files.ts';
import { type JobQueue, openQueue } from '../jobs/queue.ts';
import { openSchedules } from '../jobs/schedules.ts';
import { foreignOrders } from '../engine/operations/adoption.ts';
import { refuseLinks } from '../store/directory/own-directories.ts';
import { operationOf } from '../operations/nouns/background.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { adoptOnce, meetStore, noted } from './box-start.ts';
import type { Log } from './log.ts';
import type { Handlers } from '../engine/base/call.ts';
import type { WorkerOperationName } from '../operations/operations.ts';

/** The service's one store, with the sessions and jobs on it. */
export interface OwnedStore extends AsyncDisposable {
  readonly engine: Engine;
  readonly sessions: SessionSupervisor;
  readonly jobs: JobService;
  readonly audit: Audit;
  readonly monitor: Monitor;
  readonly throughput: ThroughputRecorder;
  /** A machine on a hypervisor is withdrawn before its session is kept. */
  readonly keep: Handlers['session/keep'];
  /** Reads the TLS files of the NBD server of all sessions again; logs errors. */
  renewDisks(): Promise<void>;
}

export interface OwnOptions {
  readonly secrets: SecretSource;
  readonly inWorker: Handlers<WorkerOperationName>;
  readonly hypervisors: () => Promise<Hypervisors>;
  readonly rules: MonitorOptions['rules'];
  /** What all boots for proofs together may use. */
  readonly proofBudget: () => ProofNeeds;
  readonly senders: MonitorOptions['senders'];
  readonly ownConditions: MonitorOptions['ownConditions'];
  readonly log: Log;
  readonly feed: Feed;
  /** The sockets on which systemd listens for the service. */
  readonly sockets: InheritedSockets;
  /** The NBD server of all sessions. */
  readonly nbd: SharedDisksPlace;
  /** The meter for what workers read. */
  readonly ingest: IngestMeter;
  /** Called when a session began, ended or waits. */
  readonly onChange: () => void;
}

/**
 * Rejects NOT_A_STORE if there is none; BUSY, naming the service that holds it; CORRUPT if it contains a symbolic
 * link.
 */
export async function ownStore(directory: string, options: OwnOptions): Promise<OwnedStore> {
  const { sockets, feed } = options;
  await using stack = new AsyncDisposableStack();
  const opened = stack.use(await openEngine(directory));
  const { store } = opened;
  await refuseLinks(store);
  stack.use(await store.files.lock(join(directory, SERVICE_LOCK), 'holdfastd'));
  const { box } = opened;
  const { checks } = store;
  const met = await meetStore(opened, options.log);
  let problem: string | undefined;
  const onDates = (what: string): void => options.log('warning', `"nbd" of the settings: ${what}`);
  const monitor = stack.use(
    await openMonitor({
      ...{ ...options, world: store, directory, checks, boxDirectory: box.directory },
      tell: (change) => feed.tell(change),
      ownConditions: () => [...options.ownConditions(), ...nbdConditions(problem)],
    }),
  );
  /** Sessions also have addresses of their own, and are served there if this one is taken. */
  async function sharedDisks(): Promise<Engine['disks']> {
    try {
      return await openSharedDisks(opened, options.nbd, { inherited: sockets.nbd, onDates });
    } catch (cause) {
      failed('"nbd" of the settings is not served until the service restarts', cause);
      return undefined;
    }
  }
  function failed(what: string, cause: unknown): void {
    if (!(cause instanceof SystemError)) throw cause;
    problem = `${what}: ${cause.message}`;
    options.log('error', problem);
  }
  const audit = await openAudit(store, directory, (message) => monitor.trouble(message));
  const onEvent = (event: SupervisorEvent): void => {
    tellOfSession(options, event);
    monitor.wake();
    if (event.kind !== 'notice') options.onChange();
  };
  const disks = await sharedDisks();
  if (disks) stack.use(disks);
  const engine: Engine = { ...opened, disks };
  const sessions = stack.use(openSessions(engine, { ...options, onEvent }));
  const keep = withdrawnFirst(options.inWorker['session/keep'], { engine, sessions });
  const inWorker = { ...options.inWorker, 'session/keep': keep };
  const opening = () => openJobs(stack, engine, { ...options, inWorker, monitor, sessions });
  const early = met === 'first' ? await opening() : undefined;
  if (early) await noted(options.log, () => adoptOnce(engine, { jobs: early, monitor, audit }));
  await clearLeftSockets(options.log);
  await clearLeftProofs(engine, options.log);
  const answerNfs = await holdNfs(engine, sockets.nfs);
  // Guests wait for their disks; jobs can wait for guests.
  await sessions.recover();
  answerNfs();
  disks?.target.answer();
  // At the end too, clients of sessions that stop first wait instead of getting an error that there are none.
  stack.defer(async () => {
    disks?.target.hold();
    await engine.leaveNfs();
  });
  const jobs = early ?? (await opening());
  jobs.queue.start();
  jobs.schedules.start();
  await noted(options.log, () => engine.memory.mark());
  const throughput = stack.use(
    recordThroughput(engine.store.clock, () => ({
      ...sessions.traffic(),
      ingestBytes: options.ingest.totalBytes,
    })),
  );
  stack.use(recordGrowth(engine.store, directory, (message) => options.log('warning', message)));
  monitor.start({
    ...{ sessions, jobs, audit },
    foreign: () => foreignOrders(engine, jobs),
    boxProblem: () => box.problem(),
  });
  const owned = stack.move();
  return {
    engine,
    sessions,
    jobs,
    audit,
    monitor,
    throughput,
    keep,
    async renewDisks() {
      if (!disks) return;
      try {
        await renewSharedDisks(engine, options.nbd, { onDates });
        problem = undefined;
        if (disks.tls) options.log('info', 'the TLS files of "nbd" were read again');
      } catch (cause) {
        failed('"nbd" of the settings keeps using the TLS files as read before', cause);
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function openSessions(
  engine: Engine,
  {
    secrets,
    hypervisors,
    inWorker,
    onEvent,
  }: OwnOptions & { readonly onEvent: (event: SupervisorEvent) => void },
): SessionSupervisor {
  return sessionSupervisor(engine, {
    ...{ secrets, onEvent, hypervisors },
    async keep(session, work) {
      const asked = { ...work, given: undefined, who: undefined };
      return inWorker['session/keep']({ session, stop: undefined }, asked);
    },
  });
}

function withdrawnFirst(
  keep: OwnedStore['keep'],
  own: Pick<OwnedStore, 'engine' | 'sessions'>,
): OwnedStore['keep'] {
  return async (request, work) => {
    const { keepThere } = await import('../engine/operations/placed.ts');
    return (await keepThere(own, request, work)) ?? keep(request, work);
  };
}

/** A killed service could not remove them. If this fails, guests are still served. */
async function clearLeftSockets(log: Log): Promise<void> {
  try {
    const left = await clearSessionSockets();
    if (left.length > 0) log('info', `removed what killed processes left: ${left.join(', ')}`);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    log('warning', `sockets that killed processes left could not be removed: ${cause.message}`);
  }
}

/** What a boot wrote that only proved a point: large, and of no use. If this fails, guests are still served. */
async function clearLeftProofs({ store }: Engine, log: Log): Promise<void> {
  try {
    const count = await sweepVerifications(store);
    if (count > 0) log('info', `removed what ${count} killed boots of "verify" had left`);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    log(
      'warning',
      `what killed boots of "verify" have left could not be removed: ${cause.message}`,
    );
  }
}

function nbdConditions(message: string | undefined): Condition[] {
  if (message === undefined) return [];
  return [{ kind: 'not-served', about: 'nbd', level: 'critical', message }];
}

async function openJobs(
  stack: AsyncDisposableStack,
  engine: Engine,
  {
    secrets,
    log,
    feed,
    inWorker,
    proofBudget,
    monitor,
    sessions,
  }: OwnOptions & {
    readonly monitor: Monitor;
    readonly sessions: SessionSupervisor;
  },
): Promise<JobService> {
  const keys = openJobKeys(secrets);
  const { store } = engine;
  const files = await openJobFiles(store.files, store.directory, {
    memory: engine.memory,
    checksOf: store.checks,
  });
  const onTrouble = (message: string): void => monitor.trouble(message);
  const proofs = proofRuns({
    ...{ clock: store.clock, budget: proofBudget },
    recoveries: () => sessions.counts().running,
  });
  const queue: JobQueue = stack.use(
    await openQueue({
      ...{ world: store, files, onTrouble, laneOf },
      attempt: jobWork(engine, {
        ...{ keys, inWorker, runs: proofs },
        submit: (draft) => queue.submit(draft),
      }),
      onChange(job) {
        const { id, state, reason = null } = job;
        if (hasEnded(job)) keys.forgetJob(id);
        const done = hasEnded(job) ? operationOf(job.kind) : undefined;
        log(state === 'failed' ? 'error' : 'info', wordsOf(job), { job: id });
        feed.tell({ event: 'job', job: id, state, reason });
        if (done) feed.ended(done);
        monitor.wake();
      },
    }),
  );
  const onMissed = (message: string): void => log('warning', message);
  const schedules = stack.use(
    await openSchedules({ world: store, files, queue, onTrouble, onMissed }),
  );
  return { queue, schedules, keys, files, proofs };
}

function wordsOf({ id, state, reason }: JobRecord): string {
  return `job ${id} is ${state}${reason === undefined ? '' : `: ${reason}`}`;
}

function messageOf(event: SupervisorEvent): string | null {
  if (event.kind === 'waits') return event.reason;
  if (event.kind === 'ended') return event.how ?? null;
  return event.kind === 'notice' ? event.message : null;
}

function tellOfSession({ log, feed }: OwnOptions, event: SupervisorEvent): void {
  const { session, kind } = event;
  const message = messageOf(event);
  feed.tell({ event: 'session', session, what: kind, message });
  switch (event.kind) {
    case 'started':
    case 'resumed':
    case 'stopped':
      return log('info', `session ${session} is ${event.kind}`, { session });
    case 'ended':
      return log('info', `session ${session} has ended${event.how ? `: ${event.how}` : ''}`, {
        session,
      });
    case 'waits':
      return log('warning', `session ${session} cannot be resumed yet: ${event.reason}`, {
        session,
      });
    case 'notice':
      return log('notice', `session ${session}: ${event.message}`, { session });
  }
}
