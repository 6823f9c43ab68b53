import {
  type FilesOperationName,
  type HostOperationName,
  type OperationName,
  type RequestOf,
  type ResultOf,
  isFilesOperation,
  isHostOperation,
  OPERATIONS,
} from '../../operations/operations.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { factoryReset } from './factory-reset.ts';
import type { CallOptions } from '../base/call.ts';
import type { Desk } from './context.ts';

type Handlers = {
  readonly [N in Exclude<OperationName, HostOperationName | FilesOperationName>]: (
    desk: Desk,
    request: RequestOf<N>,
    options: CallOptions,
  ) => Promise<ResultOf<N>>;
};

/** What is loaded only when it is wanted, for a quick start of the command line. */
const backups = () => import('../points/backups.ts');
const sessions = () => import('../sessions/run-session.ts');
const sets = () => import('../points/sets.ts');
const stores = () => import('../points/stores.ts');
const jobs = () => import('../jobs/job-service.ts');
const alarms = () => import('./alarms.ts');
const lockdown = () => import('./lockdown.ts');

/** How each operation is carried out: in the service, and by a command line that finds none. */
const HANDLERS: Handlers = {
  'service/show': (desk) => desk.service(),
  'service/follow': async (desk, _request, { report, signal }) => {
    await desk.follow(report, signal);
    return {};
  },
  'service/throughput': async (desk, { points }) => (await desk.throughput()).show(points),
  'support/create': async (desk) => (await import('./support.ts')).supportBundle(desk),
  'token/create': async (desk, request) => (await desk.tokens()).create(request),
  'token/list': async (desk) => (await desk.tokens()).list(),
  'token/revoke': async (desk, { token }) => (await desk.tokens()).revoke(token),
  'audit/show': async (desk, { last }) => {
    const entries = await (await desk.audit()).last(last);
    const { toldEntry } = await import('../audit/audit.ts');
    return { entries: entries.map(toldEntry) };
  },
  'audit/check': async (desk) => {
    const checked = await (await desk.audit()).check();
    await (await desk.guard()).auditChecked(checked);
    return { ...checked };
  },
  'alarm/list': async (desk, request) =>
    (await alarms()).listAlarms((await desk.guard()).alarms, request),
  'alarm/acknowledge': async (desk, { alarm }, { who }) =>
    (await alarms()).acknowledge((await desk.guard()).alarms, alarm, who),
  'lockdown/show': async (desk) => (await lockdown()).showLockdown((await desk.guard()).lockdown),
  'lockdown/on': async (desk, _request, { who }) => {
    const guard = await desk.guard();
    return (await lockdown()).beginLockdown(guard.lockdown, guard.persons(), who);
  },
  'lockdown/off': async (desk, _request, { who }) =>
    (await lockdown()).endLockdown((await desk.guard()).lockdown, who),
  'notify/test': async (desk) => (await desk.guard()).test(),
  'store/create': (desk) => desk.makeStore(),
  'store/adopt': async (desk, request) => {
    const house = await desk.house();
    const [jobs, sessions] = await Promise.all([
      desk.jobs().catch(none),
      desk.sessions().catch(none),
    ]);
    const done = await (await import('./adoption.ts')).adopt(house, jobs, request);
    if (done.adopted) await sessions?.resumeAll();
    if (done.adopted) (await desk.guard().catch(none))?.wake();
    return done;
  },
  'store/usage': async (desk) => (await import('./usage.ts')).usage(await desk.house()),
  'store/check': async (desk, { readData }, options) =>
    (await stores()).checkStore(await desk.house(), { readData, ...options }),
  'store/upgrade': async (desk, request, options) => {
    const { upgrade } = await import('./upgrade.ts');
    return upgrade(await desk.house(), desk.jobs, request, options);
  },
  'store/rebuild-index': async (desk, _request, { report }) =>
    (await stores()).remakeIndex(await desk.house(), report),
  'set/list': async (desk) => (await sets()).sets(await desk.house()),
  'set/create': async (desk, { set, encrypted }, { given }) => {
    const passphrase = encrypted ? (await sets()).newPassphrase(given) : undefined;
    return (await sets()).makeSet(await desk.house(), set, passphrase);
  },
  'set/import-key': async (desk, request, { given }) =>
    (await import('../points/set-keys.ts')).importKey(await desk.house(), request, given),
  'backup/create': async (desk, request, options) =>
    (await backups()).createBackup(await desk.house(), request, {
      ...options,
      isSecret: desk.isSecret,
    }),
  'backup/list': async (desk, request) => (await backups()).points(await desk.house(), request),
  'backup/page': async (desk, request) => (await backups()).pointPage(await desk.house(), request),
  'backup/show': async (desk, { point }, { secrets }) =>
    (await backups()).showPoint(await desk.house(), point, secrets),
  'backup/forget': async (desk, { point }) => (await backups()).forget(await desk.house(), point),
  'restore/disk': async (desk, request, options) =>
    (await backups()).restore(await desk.house(), request, options),
  'backup/retain': async (desk, request) =>
    (await import('../points/retention.ts')).retain(await desk.house(), request),
  'job/create': async (desk, request, options) =>
    (await jobs()).createJob(await desk.jobs(), await desk.house(), request, options),
  'job/unlock': async (desk, { job }, options) =>
    (await jobs()).unlockJob(await desk.jobs(), await desk.house(), job, options),
  'job/list': async (desk, request) => (await jobs()).jobs(await desk.jobs(), request),
  'job/show': async (desk, { job }) => (await jobs()).showJob(await desk.jobs(), job),
  'job/log': async (desk, request) => (await jobs()).jobLog(await desk.jobs(), request),
  'job/attend': async (desk, { job }, options) =>
    (await jobs()).attendJob(await desk.jobs(), job, options),
  'job/cancel': async (desk, { job }) => (await jobs()).cancelJob(await desk.jobs(), job),
  'schedule/create': async (desk, request, options) =>
    (await jobs()).createSchedule(await desk.jobs(), await desk.house(), request, options),
  'schedule/list': async (desk) => (await jobs()).listSchedules(await desk.jobs()),
  'schedule/run': async (desk, { schedule }) => {
    const own = await desk.jobs();
    const { id } = await own.schedules.run(schedule);
    return (await jobs()).showJob(own, id);
  },
  'schedule/remove': async (desk, { schedule }) => {
    await (await jobs()).removeSchedule(await desk.jobs(), schedule);
    return { schedule, removed: true };
  },
  'session/list': async (desk) => (await sessions()).sessions(await desk.house(), desk.whyWaiting),
  'export/list': async (desk) => ({ exports: (await desk.sessions()).exports() }),
  'session/show': async (desk, { session }) =>
    (await sessions()).showSession(await desk.house(), session, desk),
  'session/log': async (desk, { session, first }) => {
    const lines = await (await desk.sessions()).log(session);
    return { session, lines: lines.slice(first) };
  },
  'session/start': async (desk, { point, whenFull, ...reached }, options) =>
    (await desk.sessions()).start(
      { what: { kind: 'point', point, whenFull }, ...reached },
      options,
    ),
  'session/resume': async (desk, { session, ...reached }, options) =>
    (await desk.sessions()).start({ what: { kind: 'resume', session }, ...reached }, options),
  'session/attend': async (desk, { session }, { report, signal }) => {
    await (await desk.sessions()).attend(session, report, signal);
    return { session };
  },
  'session/stop': async (desk, { session }) => {
    await (await desk.sessions()).stop(session);
    return { session, stopped: true };
  },
  'session/discard': async (desk, { session }, { report }) => {
    const tell = (message: string): void => report({ event: 'notice', message });
    await (await sessions()).discard(await desk.house(), session, tell);
    return { session, discarded: true };
  },
  'session/keep': async (desk, { session }, options) =>
    (await sessions()).keep(await desk.house(), session, options),
};

/** Where no service runs. */
function none(cause: unknown): undefined {
  if (!(cause instanceof SystemError)) throw cause;
  return undefined;
}

/** Who opens volumes has no keys: whoever is asked finds the one that is needed, and hands it on. */
async function filesWork<N extends FilesOperationName>(
  desk: Desk,
  name: N,
  request: RequestOf<N>,
  { secrets, given, ...options }: CallOptions,
): Promise<ResultOf<N>> {
  if (name !== 'files/open' || given) return desk.files(name, request, { ...options, given });
  const { what } = request as RequestOf<'files/open'>;
  const { keyOfDisks } = await import('../files/served-disks.ts');
  const key = await keyOfDisks(await desk.house(), what, secrets);
  return desk.files(name, request, { ...options, given: key });
}

async function resetMachine(...given: Parameters<typeof factoryReset>) {
  return (await import('./factory-reset.ts')).factoryReset(...given);
}

export function handle<N extends OperationName>(
  name: N,
  desk: Desk,
  request: RequestOf<N>,
  options: CallOptions,
): Promise<ResultOf<N>> {
  if (desk.apart && OPERATIONS[name].runs === 'worker') return desk.apart(name, request, options);
  // The compiler does not see that a name goes with its own request.
  if (isHostOperation(name)) {
    if (name === 'host/factory-reset')
      return resetMachine(desk, request as never, options) as never;
    return desk.host(name, request as never, options) as Promise<unknown> as Promise<ResultOf<N>>;
  }
  if (isFilesOperation(name)) {
    return filesWork(desk, name, request as never, options) as Promise<unknown> as Promise<
      ResultOf<N>
    >;
  }
  const own: keyof Handlers = name;
  const handler = HANDLERS[own] as unknown as (
    desk: Desk,
    request: RequestOf<N>,
    options: CallOptions,
  ) => Promise<ResultOf<N>>;
  return handler(desk, request, options);
}
