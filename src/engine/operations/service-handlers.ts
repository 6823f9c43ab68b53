import type {
  FilesOperationName,
  HostOperationName,
  NameOf,
  RequestOf,
  ResultOf,
  WorkerOperationName,
} from '../../operations/operations.ts';
import { bound, type CallOptions, type Handlers } from '../base/call.ts';
import type { ServiceContext, StoreContext } from './context.ts';
import { jobHandlers, type JobName } from './job-handlers.ts';
import { retainingBackups } from './retaining-backups.ts';
import { storeHandlers } from './store-handlers.ts';

// What is loaded only when it is wanted.
const alarms = () => import('./alarms.ts');
const clock = () => import('./clock.ts');
const placed = () => import('./placed.ts');
const setPasskeys = () => import('./set-passkey.ts');
const lockdown = () => import('./lockdown.ts');

/** More than there is: it runs alone. */
const ALL_OF_IT = { memoryBytes: Infinity, processors: Infinity };
const WAITS = { event: 'notice', message: 'it waits while a recovery session runs' } as const;

/** `files/put` needs the volumes and the hypervisors too, `verify/latest` the workers. */
type OwnName = Exclude<NameOf<'service'>, JobName | ClockName | 'files/put' | 'verify/latest'>;

/** Operations that only the service carries out. */
function ownHandlers(context: ServiceContext): Handlers<OwnName> {
  return bound<ServiceContext, OwnName>(context, {
    'store/create': (service) => service.makeStore(),
    'service/show': (service) => service.show(),
    'service/follow': async (service, _request, { report, signal }) => {
      await service.follow(report, signal);
      return {};
    },
    'service/throughput': async (service, { points }) => (await service.throughput()).show(points),
    'set/passkey': async (service, request, options) =>
      (await setPasskeys()).setPasskey(service.passkeys, await service.engine(), request, options),
    'set/remove-passkey': async (service, request, options) => {
      const { removePasskey } = await setPasskeys();
      return removePasskey(service.passkeys, await service.engine(), request, options);
    },
    'token/create': async (service, request) => (await service.tokens()).create(request),
    'token/list': async (service) => (await service.tokens()).list(),
    'token/revoke': async (service, { token }) => (await service.tokens()).revoke(token),
    'audit/show': async (service, { last }) => {
      const entries = await (await service.audit()).last(last);
      const { toldEntry } = await import('../audit/audit.ts');
      return { entries: entries.map(toldEntry) };
    },
    'audit/check': async (service) => {
      const checked = await (await service.audit()).check();
      await (await service.monitor()).auditChecked(checked);
      return { ...checked };
    },
    'alarm/list': async (service, request) =>
      (await alarms()).listAlarms((await service.monitor()).alarms, request),
    'alarm/acknowledge': async (service, { alarm }, { who }) =>
      (await alarms()).acknowledge(
        { monitor: await service.monitor(), sessions: await service.sessions() },
        alarm,
        who,
      ),
    'lockdown/show': async (service) =>
      (await lockdown()).showLockdown((await service.monitor()).lockdown),
    'lockdown/on': async (service, _request, { who }) => {
      const monitor = await service.monitor();
      return (await lockdown()).beginLockdown(monitor.lockdown, monitor.persons(), who);
    },
    'lockdown/off': async (service, _request, { who }) =>
      (await lockdown()).endLockdown((await service.monitor()).lockdown, who),
    'notify/test': async (service) => (await service.monitor()).test(),
    'export/list': async (service) => ({ exports: (await service.sessions()).exports() }),
    'session/log': async (service, { session, first }) => {
      const lines = await (await service.sessions()).log(session);
      return { session, lines: lines.slice(first) };
    },
    'session/start': async (service, { point, whenFull, ...reached }, options) =>
      (await service.sessions()).start(
        { what: { kind: 'point', point, whenFull }, ...reached },
        options,
      ),
    'session/resume': async (service, { session, ...reached }, options) =>
      (await service.sessions()).start({ what: { kind: 'resume', session }, ...reached }, options),
    'session/attend': attendSession,
    'session/run': async (service, request, options) =>
      (await import('./run-machines.ts')).runOn(service, request, options),
    'session/migrate': async (service, request, { signal }) =>
      (await import('./migrate.ts')).migrate(service, request, signal),
    'session/power': async (service, request) => (await placed()).setPower(service, request),
    'session/retry': async (service, { session }) =>
      (await placed()).askPlaced(service, session, { kind: 'retry' }),
    'session/abandon': async (service, { session, name }) =>
      (await placed()).askPlaced(service, session, { kind: 'abandon', name }),
    'session/stop': async (service, { session }) => {
      await (await service.sessions()).stop(session);
      return { session, stopped: true };
    },
  });
}

type ClockName = Extract<NameOf<'service'>, `clock/${string}`>;

function clockHandlers(context: ServiceContext): Handlers<ClockName> {
  return bound<ServiceContext, ClockName>(context, {
    'clock/show': async (service) => (await clock()).showClock(await service.engine()),
    'clock/confirm': async (service, _request, { who }) => {
      const confirmed = await (await clock()).confirmedClock(await service.engine(), who);
      (await service.monitor()).wake();
      return confirmed;
    },
  });
}

async function attendSession(
  service: ServiceContext,
  { session, until }: RequestOf<'session/attend'>,
  { report, signal }: CallOptions,
): Promise<ResultOf<'session/attend'>> {
  const sessions = await service.sessions();
  if (until === 'ended') return { session, ended: await sessions.follow(session, report, signal) };
  await sessions.attend(session, report, signal);
  return { session, ended: 'stopped' };
}

/** All operations of the service: those that it carries out itself, and those that it passes on. */
export function serviceHandlers(
  service: ServiceContext,
  {
    host,
    files,
    inWorker,
    ...store
  }: Omit<StoreContext, 'service' | 'engine'> & {
    readonly host: Handlers<HostOperationName>;
    readonly files: Handlers<FilesOperationName>;
    /** Those that guests must not wait for. */
    readonly inWorker: Handlers<WorkerOperationName>;
  },
): Handlers {
  const { engine } = service;
  // Who opens volumes has no keys: the service finds the one that is needed, and hands it on.
  const openFiles: Handlers['files/open'] = async (request, { secrets, given, ...options }) => {
    const { keyOfDisks } = await import('../files/served-disks.ts');
    const key = await keyOfDisks(await engine(), request.what, secrets);
    return files['files/open'](request, { ...options, secrets, given: key ?? given });
  };
  return {
    ...storeHandlers({ ...store, engine, service }),
    ...inWorker,
    ...retainingBackups(inWorker, engine),
    ...ownHandlers(service),
    ...jobHandlers(service),
    ...clockHandlers(service),
    ...host,
    ...files,
    'session/keep': (request, options) => service.keep(request, options),
    'verify/latest': async (request, options) => {
      const { verifyLatest } = await import('../verify/latest.ts');
      const boot = inWorker['verify/point'];
      return verifyLatest(await engine(), request, {
        ...options,
        ...{ runs: (await service.jobs()).proofs, boot },
      });
    },
    // Alone, and beside no recovery: else it would measure those too.
    'verify/measure': async (request, options) =>
      (await service.jobs()).proofs.run(
        (signal) => inWorker['verify/measure'](request, { ...options, signal }),
        { needs: ALL_OF_IT, signal: options.signal, onWait: () => options.report(WAITS) },
      ),
    'host/factory-reset': async (request, options) => {
      const { factoryReset } = await import('./factory-reset.ts');
      return factoryReset(await host['host/factory-reset'](request, options), service);
    },
    'files/open': openFiles,
    'files/put': async (request, options) => {
      const [parts, { putIntoGuest }] = [
        { engine: await engine(), hypervisors: await store.hypervisors() },
        await import('./put-file.ts'),
      ];
      return putIntoGuest(
        { ...parts, files: { ...files, 'files/open': openFiles } },
        request,
        options,
      );
    },
  };
}
