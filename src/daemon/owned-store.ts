import { join } from 'node:path/posix';
import type { Condition } from '../alarms/alarm-state.ts';
import type { RunApart } from '../control/handlers.ts';
import { type House, openHouse, type SecretSource } from '../control/house.ts';
import { type KeeperEvent, sessionKeeper, type SessionKeeper } from '../control/session-keeper.ts';
import { type Audit, openAudit } from '../control/audit.ts';
import type { Feed } from '../control/feed.ts';
import { type Guard, type GuardOptions, openGuard } from '../control/guard.ts';
import type { InheritedSockets } from '../control/inherited-sockets.ts';
import type { JobDesk } from '../control/job-desk.ts';
import { holdNfs } from '../control/nfs-restart.ts';
import { SERVICE_LOCK } from '../control/service-lock.ts';
import { openSharedDisks, type SharedDisksPlace } from '../control/shared-disks.ts';
import { recordGrowth } from '../control/growth.ts';
import { openJobKeys } from '../control/job-keys.ts';
import { jobWork, laneOf } from '../control/job-work.ts';
import {
  type IngestMeter,
  recordThroughput,
  type ThroughputRecorder,
} from '../control/throughput.ts';
import type { JobRecord } from '../formats/store/job.ts';
import { hasEnded } from '../jobs/job-state.ts';
import { openJobFiles } from '../jobs/job-files.ts';
import { openQueue } from '../jobs/queue.ts';
import { openSchedules } from '../jobs/schedules.ts';
import { adoptFirst, foreignOrders } from '../control/adoption.ts';
import { listed } from '../control/conditions.ts';
import type { Met } from '../box/box.ts';
import { putDurably } from '../sys/put-durably.ts';
import { SystemError } from '../sys/system-error.ts';
import { ownIds } from '../sys/unix-peer.ts';
import type { World } from '../sys/world.ts';
import type { Log } from './log.ts';

/** The service's one store, and what runs on it. */
export interface OwnedStore extends AsyncDisposable {
  readonly house: House;
  readonly sessions: SessionKeeper;
  readonly jobs: JobDesk;
  readonly audit: Audit;
  readonly guard: Guard;
  readonly throughput: ThroughputRecorder;
}

export interface OwnOptions {
  readonly secrets: SecretSource;
  readonly apart: RunApart;
  readonly rules: GuardOptions['rules'];
  readonly senders: GuardOptions['senders'];
  readonly ownConditions: GuardOptions['ownConditions'];
  readonly log: Log;
  readonly feed: Feed;
  /** Where systemd listens for the service. */
  readonly sockets: InheritedSockets;
  /** The NBD server of all sessions. */
  readonly nbd: SharedDisksPlace;
  /** Of what `apart` does. */
  readonly ingest: IngestMeter;
  /** A session began, ended or waits. */
  readonly onChange: () => void;
}

const RECORD_LENGTH_MAX = 64 * 1024;

/** Rejects NOT_A_STORE where there is none; BUSY, naming the service that has it. */
export async function ownStore(directory: string, options: OwnOptions): Promise<OwnedStore> {
  const { secrets, sockets, feed } = options;
  await using stack = new AsyncDisposableStack();
  const opened = stack.use(await openHouse(directory));
  const { world } = opened;
  stack.use(await world.files.lock(join(directory, SERVICE_LOCK), 'holdfastd'));
  const { box } = opened;
  const met = await meetStore(opened, options.log);
  let notServed: string | undefined;
  const guard = stack.use(
    await openGuard({
      ...{ ...options, world, directory, boxDirectory: box.directory },
      tell: (change) => feed.tell(change),
      ownConditions: () => [...options.ownConditions(), ...nbdConditions(notServed)],
    }),
  );
  /** Sessions have addresses of their own too, and are served at those where this one is taken. */
  async function sharedDisks(): Promise<House['disks']> {
    try {
      return await openSharedDisks(opened, options.nbd, {
        inherited: sockets.nbd,
        onDates: (problem) => options.log('warning', `"nbd" of the settings: ${problem}`),
      });
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      notServed = `"nbd" of the settings is not done until the service is started again: ${cause.message}`;
      options.log('error', notServed);
      return undefined;
    }
  }
  const audit = await openAudit(world, directory, (message) => guard.trouble(message));
  const onEvent = (event: KeeperEvent): void => {
    tellOfSession(options, event);
    guard.wake();
    if (event.kind !== 'notice') options.onChange();
  };
  const disks = await sharedDisks();
  if (disks) stack.use(disks);
  const house: House = { ...opened, disks };
  const answerNfs = await holdNfs(house, sockets.nfs);
  const sessions = stack.use(sessionKeeper(house, { secrets, onEvent }));
  const opening = (): Promise<JobDesk> => openJobs(stack, house, { ...options, guard });
  const early = met === 'first' ? await opening() : undefined;
  if (early) await adoptOnce(house, { jobs: early, guard, audit });
  // Guests wait for their disks; jobs can wait for guests.
  await sessions.resumeAll();
  answerNfs();
  disks?.target.answer();
  // In the end too, clients of sessions that go first wait instead of being told that there are none.
  stack.defer(async () => {
    disks?.target.hold();
    await house.leaveNfs();
  });
  const jobs = early ?? (await opening());
  jobs.queue.start();
  jobs.schedules.start();
  await seen(options.log, () => house.memory.mark());
  const throughput = stack.use(
    recordThroughput(house.world.clock, () => ({
      ...sessions.traffic(),
      ingestBytes: options.ingest.totalBytes,
    })),
  );
  stack.use(recordGrowth(house.world, directory, (message) => options.log('warning', message)));
  guard.start({
    ...{ sessions, jobs, audit },
    foreign: () => foreignOrders(house, jobs),
    boxProblem: () => box.problem(),
  });
  const owned = stack.move();
  return {
    house,
    sessions,
    jobs,
    audit,
    guard,
    throughput,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function nbdConditions(message: string | undefined): Condition[] {
  if (message === undefined) return [];
  return [{ kind: 'not-served', about: 'nbd', level: 'critical', message }];
}

/**
 * A service whose own disk is full, or read-only, serves its guests all the same; what it cannot note is not adopted.
 */
async function seen(log: Log, work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    log('error', `the memory of the box: ${cause.message}`);
    return false;
  }
}

async function meetStore({ box, memory, store, world }: House, log: Log): Promise<Met> {
  let met: Met = 'unknown';
  await seen(log, async () => {
    await box.prepare();
    met = await memory.meet();
    if (met === 'returned') {
      log('warning', `${store.directory} was out of sight: what it orders waits to be adopted`);
    }
    // A lockdown, and the clock as it was last trusted, of the release before.
    if (met === 'first') await takeOver(world, store.directory, box.directory);
  });
  return met;
}

async function takeOver({ files }: World, from: string, to: string): Promise<void> {
  for (const name of ['lockdown.json', 'clock.json']) {
    if (!(await files.stat(join(from, name))) || (await files.stat(join(to, name)))) continue;
    await putDurably(
      files,
      join(to, name),
      await files.readFile(join(from, name), RECORD_LENGTH_MAX),
    );
  }
}

/** This box remembers no store: what is there is of the release before, and runs on. It is said what that is. */
async function adoptOnce(
  house: House,
  { jobs, guard, audit }: { readonly jobs: JobDesk; readonly guard: Guard; readonly audit: Audit },
): Promise<void> {
  const words = await adoptFirst(house, { jobs });
  if (words.length === 0) return;
  const message = `the first start with a memory of the box: it has adopted ${listed(words)}`;
  const { pid, uid } = ownIds();
  const end = await audit.begin({ pid, uid, gids: [] }, 'store/adopt', { adopted: words });
  await end('done');
  await guard.alarms.raise({ kind: 'store-adopted', level: 'warning', message });
}

async function openJobs(
  stack: AsyncDisposableStack,
  house: House,
  { secrets, log, feed, apart, guard }: OwnOptions & { readonly guard: Guard },
): Promise<JobDesk> {
  const keys = openJobKeys(secrets);
  const { world, store } = house;
  const files = await openJobFiles(world.files, store.directory, {
    memory: house.memory,
    checksOf: () => (store.has('checked-records') ? 'checked' : 'unchecked'),
  });
  const onTrouble = (message: string): void => guard.trouble(message);
  const queue = stack.use(
    await openQueue({
      ...{ world, files, onTrouble, laneOf },
      attempt: jobWork(house, { keys, apart }),
      onChange(job) {
        const { id, state, reason = null } = job;
        if (hasEnded(job)) keys.forgetJob(id);
        log(state === 'failed' ? 'error' : 'info', wordsOf(job), { job: id });
        feed.tell({ event: 'job', job: id, state, reason });
        guard.wake();
      },
    }),
  );
  const onMissed = (message: string): void => log('warning', message);
  const schedules = stack.use(await openSchedules({ world, files, queue, onTrouble, onMissed }));
  return { queue, schedules, keys, files };
}

function wordsOf({ id, state, reason }: JobRecord): string {
  return `job ${id} is ${state}${reason === undefined ? '' : `: ${reason}`}`;
}

function tellOfSession({ log, feed }: OwnOptions, event: KeeperEvent): void {
  const { session, kind } = event;
  const message = kind === 'waits' ? event.reason : kind === 'notice' ? event.message : null;
  feed.tell({ event: 'session', session, what: kind, message });
  switch (event.kind) {
    case 'started':
    case 'resumed':
    case 'stopped':
      return log('info', `session ${session} is ${event.kind}`, { session });
    case 'waits':
      return log('warning', `session ${session} cannot be resumed yet: ${event.reason}`, {
        session,
      });
    case 'notice':
      return log('notice', `session ${session}: ${event.message}`, { session });
  }
}
