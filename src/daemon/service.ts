import { dirname, join } from 'node:path/posix';
import type { Condition } from '../alarms/alarm-state.ts';
import { ownBox } from '../box/own-box.ts';
import { accessOf } from '../engine/base/access.ts';
import { callerWords } from '../engine/base/caller.ts';
import { ownHypervisors } from '../engine/hypervisors/own-hypervisors.ts';
import { openPasskeys } from '../engine/secrets/passkeys.ts';
import { MiB } from '../lib/sizes.ts';
import { openVolumes } from '../engine/files/files-work.ts';
import { httpApi, type HttpApiOptions } from '../engine/server/http-api.ts';
import { runInWorker, type WorkerOptions } from '../engine/worker/run-in-worker.ts';
import { type Feed, openFeed } from '../engine/server/feed.ts';
import type { MonitorRules } from '../engine/watch/monitor.ts';
import type { InheritedSockets } from '../engine/sessions/inherited-sockets.ts';
import { countsOf as alarmCounts } from '../engine/operations/alarms.ts';
import { countsOf } from '../engine/jobs/job-service.ts';
import { checkLockdown } from '../engine/operations/lockdown.ts';
import { refuseSecretFiles } from '../engine/secrets/secret-files.ts';
import { type IngestMeter, ingestMeter } from '../engine/watch/throughput.ts';
import { budgetOf } from '../engine/verify/proof-runs.ts';
import { TOKENS_FILE } from '../engine/secrets/tokens.ts';
import { makeStore } from '../engine/points/stores.ts';
import {
  namesOf,
  OPERATIONS,
  type ResultOf,
  type WorkerOperationName,
} from '../operations/operations.ts';
import { StoreError } from '../store/packs/store-error.ts';
import { serveHttp } from '../sys/net/http-server.ts';
import { thisHost } from '../sys/net/this-host.ts';
import { isSuperuser } from '../sys/process/run.ts';
import { ownIds } from '../sys/net/unix-peer.ts';
import type { World } from '../sys/world.ts';
import { noted, takeOverTokens } from './box-start.ts';
import { forwardedFiles, forwardedHost } from './forwarded.ts';
import { keyring, knownSecrets, secretFiles } from './keyring.ts';
import { faultLog, type Log } from './log.ts';
import { senders } from './senders.ts';
import { remoteListener } from './remote-listener.ts';
import { type OwnedStore, type OwnOptions, ownStore } from './owned-store.ts';
import type { Settings } from './settings.ts';
import { type SettingsFile, settingsInForce } from './settings-file.ts';
import { type Handlers, handlersFor } from '../engine/base/call.ts';
import type { ServiceContext, ServiceFacts } from '../engine/operations/context.ts';
import { metrics } from '../engine/operations/metrics.ts';
import { followedWork } from '../engine/operations/followed-work.ts';
import { serviceHandlers } from '../engine/operations/service-handlers.ts';

/** The running service. Disposing stops its sessions, flushed, so that they can be resumed. */
export interface Service extends AsyncDisposable {
  /** A text: `3 sessions run, 1 waits`. */
  status(): string;
  /** Reads the settings again; if they are wrong, the former ones stay in force. */
  reload(): Promise<void>;
}

export interface ServiceOptions {
  readonly world: World;
  readonly settings: SettingsFile;
  /** The directory in which systemd puts credentials. */
  readonly credentials: string | undefined;
  /** The directory in which earlier releases kept the box's files. */
  readonly stateBefore: string;
  /** The sockets on which systemd listens for the service. */
  readonly sockets: InheritedSockets;
  readonly version: string;
  readonly log: Log;
  /** Called when the result of `status` has changed. */
  readonly onStatus: (status: string) => void;
}

/** Rejects BUSY if another service holds the socket or the store. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { world, log, version, sockets, credentials } = options;
  const { control } = sockets;
  const { clock } = world;
  await using stack = new AsyncDisposableStack();
  const settings = await settingsInForce(options.settings, log);
  let notServed: string | undefined;
  const secrets = keyring(settings.now, credentials);
  const { socket, store, nbd } = settings.now();
  if (control === undefined) {
    // Access depends on who connects. A socket of systemd's is in a directory that is not ours, and cannot belong to
    // another service.
    await world.files.makeDirectory(dirname(socket), 'shared');
    stack.use(await world.files.lock(`${socket}.lock`, 'holdfastd'));
  }
  const feed = openFeed();
  const ingest = ingestMeter();
  const inWorker = workerHandlers({
    ...{ store, clock, ingest, credentials },
    settings: settings.now,
    found: () => place.found(),
  });
  const onChange = (): void => {
    const it = place.found();
    if (it) options.onStatus(statusOf(it));
  };
  const place = stack.use(
    lateStore(store, {
      ...{ secrets, log, feed, inWorker, ingest, onChange, sockets, nbd },
      hypervisors: ownHypervisors,
      ...ruled(settings.now),
      ownConditions: () => [...settings.conditions(), ...listenConditions(notServed)],
      senders: senders(world, settings.now),
    }),
  );
  const box = ownBox(world);
  await noted(log, () => takeOverTokens(world, box, options.stateBefore));
  await place.look();
  await noted(log, () => box.begin());
  // Root has the rights itself, as for a service in a checkout.
  const own = isSuperuser()
    ? stack.use(openVolumes(async () => ({ store, restores: settings.now().restores })))
    : undefined;
  const context = contextOn(place, {
    ...{ box, directory: store, started: clock.now().toISOString(), passkeys: openPasskeys(clock) },
    follow: (report, signal) => feed.follow(report, signal),
    tokens: () => remote.tokens(),
    support: async () => ({
      ...{ protocol: version, settings: settings.now() },
      secrets: knownSecrets(settings.now(), credentials),
    }),
  });
  const files = own?.handlers ?? forwardedFiles;
  const handlers = serviceHandlers(context, {
    ...{ inWorker, files, host: forwardedHost },
    hypervisors: ownHypervisors,
    // Only worker processes read images.
    isSecret: () => true,
  });
  const apiOptions = {
    ...{ handlers, clock, version, secrets, checkPasskey: passkeyCheck(context) },
    metrics: () => metrics(context),
    ...watchOver(place, log, feed),
    onFault: faultLog(log),
  };
  const remote = stack.use(
    remoteListener({
      ...{ world, log, api: apiOptions, tokens: join(box.directory, TOKENS_FILE) },
      async note(words) {
        log('warning', words);
        await place.found()?.audit.refused('token', words);
      },
    }),
  );
  notServed = await remote.apply(settings.now().listen);
  place.found()?.monitor.wake();
  // Last, and so the first to be closed: requests need all the rest.
  stack.use(
    await serveHttp({
      at: control === undefined ? { kind: 'unix', path: socket } : { kind: 'fd', fd: control },
      knows: (peer) => accessOf(peer) !== undefined,
      onRequest: httpApi({ ...apiOptions, access: (peer) => accessOf(peer) }),
      onError: endProcess,
    }),
  );
  const owned = stack.move();
  return {
    status: () => statusOf(place.found()),
    async reload() {
      if (place.found()?.monitor.lockdown.state()) {
        log('error', 'the settings were not changed: the lockdown is on');
      } else {
        await settings.reload();
      }
      notServed = await remote.apply(settings.now().listen);
      await place.look();
      await place.found()?.renewDisks();
      // A passphrase may be available now.
      place.found()?.jobs.queue.wake();
      place.found()?.monitor.retell();
      place.found()?.monitor.wake();
      await place.found()?.sessions.resumeAll();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** No session has run. */
const QUIET = { readBytes: 0, writtenBytes: 0 };

/** What takes long is done by processes of its own; the monitor hears what they found. */
function workerHandlers({
  store,
  clock,
  ingest,
  settings,
  credentials,
  found,
}: Omit<WorkerOptions, 'secretFiles' | 'indexMemory' | 'guestBytes'> & {
  readonly ingest: IngestMeter;
  readonly settings: () => Settings;
  readonly credentials: string | undefined;
  readonly found: () => Pick<OwnedStore, 'monitor' | 'sessions'> | undefined;
}): Handlers<WorkerOperationName> {
  const workers = handlersFor(namesOf('worker'), async (name, request, options) => {
    const guestBytes = (): number => {
      const { readBytes, writtenBytes } = found()?.sessions.traffic() ?? QUIET;
      return readBytes + writtenBytes;
    };
    const worker = {
      ...{ store, clock, guestBytes },
      secretFiles: secretFiles(settings(), credentials),
      indexMemory: settings().index.memory * MiB,
    };
    const report = ingest.heard(options.report);
    const result = await runInWorker(worker, name, request, { ...options, report });
    await found()?.monitor.finished(name, request, result);
    return result;
  });
  return {
    ...followedWork(workers, () => found()?.sessions),
    async 'backup/create'(request, options) {
      await refuseSecretFiles(request, secretFiles(settings(), credentials));
      return workers['backup/create'](request, options);
    },
  };
}

/** Length of a request that is noted only in the log of the service. */
const REQUEST_MAX = 1024;

function listenConditions(message: string | undefined): Condition[] {
  if (message === undefined) return [];
  return [{ kind: 'not-served', about: 'listen', level: 'critical', message }];
}

function passkeyCheck({ engine, passkeys }: ServiceContext): HttpApiOptions['checkPasskey'] {
  return async (set, asked) => passkeys.check(await engine(), set, asked);
}

/** Errors outside any promise end the process. */
function endProcess(error: unknown): never {
  throw error;
}

/** Records each change and tells it those who follow; refuses what is not allowed now, once there is a store. */
function watchOver(
  place: LateStore,
  log: Log,
  feed: Feed,
): Pick<HttpApiOptions, 'audited' | 'checkAllowed'> {
  /** The audit log is in the store: without a store, changes are noted in the log of the service. */
  const recorded: HttpApiOptions['audited'] = async (who, what, request) => {
    const end = await place.found()?.audit.begin(who, what, request);
    if (end) return end;
    const by = `${what} for ${callerWords(who)}`;
    const asked = JSON.stringify(request).slice(0, REQUEST_MAX);
    log('notice', `${by} begins; there is no store yet, so no audit log: ${asked}`);
    return async (outcome, reason) => {
      log('notice', `${by}: ${outcome}${reason === undefined ? '' : `: ${reason}`}`);
      // The operation that creates the store is in its audit log as well.
      await (await place.found()?.audit.begin(who, what, request))?.(outcome, reason);
    };
  };
  return {
    async audited(who, what, request) {
      const end = await recorded(who, what, request);
      return async (outcome, reason) => {
        await end(outcome, reason);
        feed.ended(OPERATIONS[what]);
      };
    },
    checkAllowed(name, request) {
      const monitor = place.found()?.monitor;
      if (monitor) checkLockdown(monitor.lockdown, name, request);
    },
  };
}

function contextOn(
  place: LateStore,
  {
    directory,
    started,
    ...facts
  }: ServiceFacts & { readonly directory: string; readonly started: string },
): ServiceContext {
  async function owned(): Promise<OwnedStore> {
    await place.look();
    const it = place.found();
    if (it) return it;
    throw new StoreError('NOT_A_STORE', `${directory} is not a store: see "holdfast store create"`);
  }
  return {
    ...facts,
    engine: async () => (await owned()).engine,
    async makeStore() {
      const made = await makeStore(directory);
      await owned();
      return made;
    },
    sessions: async () => (await owned()).sessions,
    jobs: async () => (await owned()).jobs,
    audit: async () => (await owned()).audit,
    monitor: async () => (await owned()).monitor,
    throughput: async () => (await owned()).throughput,
    keep: async (request, options) => (await owned()).keep(request, options),
    whyWaiting: (id) => place.found()?.sessions.whyWaiting(id),
    overlay: (id) => place.found()?.sessions.overlay(id),
    machine: (id) => place.found()?.sessions.machine(id),
    driven: (id) => place.found()?.sessions.driven(id),
    async show(): Promise<ResultOf<'service/show'>> {
      const it = place.found();
      const none = { running: 0, waiting: 0 };
      return {
        pid: ownIds().pid,
        started,
        store: directory,
        storeId: it?.engine.store.id ?? null,
        space: it ? await it.engine.store.files.space(directory) : null,
        host: thisHost(),
        sessions: it?.sessions.counts() ?? none,
        jobs: it ? countsOf(it.jobs) : none,
        alarms: alarmsOf(it),
        lockdown: it?.monitor.lockdown.state()?.since ?? null,
        notAdopted: it?.monitor.notAdopted() ?? [],
      };
    },
  };
}

function alarmsOf(store: OwnedStore | undefined): ResultOf<'service/show'>['alarms'] {
  if (!store) return { critical: 0, warning: 0, acknowledged: 0, untold: 0 };
  const { alarms, untold } = store.monitor;
  return { ...alarmCounts(alarms), untold: untold() };
}

/** What the settings of the moment say. */
function ruled(now: () => Settings): Pick<OwnOptions, 'rules' | 'proofBudget'> {
  return { rules: () => rulesOf(now()), proofBudget: () => budgetOf(now().proofs) };
}

function rulesOf({ alarms, lockdown }: Settings): MonitorRules {
  const { poolWarningPercent, poolCriticalPercent, latePeriods } = alarms;
  return {
    warningPercent: poolWarningPercent,
    criticalPercent: poolCriticalPercent,
    latePeriods,
    persons: lockdown.persons,
  };
}

/**
 * A store that may not exist yet: a new appliance, or a disk that is not mounted. It is never created automatically.
 */
interface LateStore extends AsyncDisposable {
  found(): OwnedStore | undefined;
  look(): Promise<void>;
}

function lateStore(directory: string, options: OwnOptions): LateStore {
  let opening: Promise<void> | undefined;
  let owned: OwnedStore | undefined;
  let isTold = false;
  async function open(): Promise<void> {
    try {
      owned = await ownStore(directory, options);
      options.onChange();
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'NOT_A_STORE') throw cause;
      if (!isTold) options.log('warning', cause.message);
      isTold = true;
    }
  }
  return {
    found: () => owned,
    async look() {
      if (owned) return;
      opening ??= open().finally(() => (opening = undefined));
      await opening;
    },
    async [Symbol.asyncDispose]() {
      await opening?.catch(() => {});
      await owned?.[Symbol.asyncDispose]();
    },
  };
}

function statusOf(store: OwnedStore | undefined): string {
  if (!store) return 'no store';
  const { running, waiting } = store.sessions.counts();
  return `${running} sessions run${waiting > 0 ? `, ${waiting} wait` : ''}`;
}
