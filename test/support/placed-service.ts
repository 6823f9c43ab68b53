import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Engine, openEngine } from '../../src/engine/base/engine.ts';
import { handlersFor } from '../../src/engine/base/call.ts';
import type { Handlers } from '../../src/engine/base/call.ts';
import { backupMachines } from '../../src/engine/hypervisors/machine-backup.ts';
import { add } from '../../src/engine/hypervisors/managed.ts';
import { serviceHandlers } from '../../src/engine/operations/service-handlers.ts';
import { keepThere } from '../../src/engine/operations/placed.ts';
import { keep } from '../../src/engine/sessions/run-session.ts';
import type { JobService } from '../../src/engine/jobs/job-service.ts';
import {
  sessionSupervisor,
  type SessionSupervisor,
} from '../../src/engine/sessions/session-supervisor.ts';
import type { KeptSession } from '../../src/operations/nouns/session.ts';
import { namesOf } from '../../src/operations/operations.ts';
import type { Report } from '../../src/operations/events.ts';
import type { RequestOf } from '../../src/operations/operations.ts';
import type { RunTestHost } from '../hypervisors/run-rig.ts';
import type { OnCall } from '../hypervisors/rig.ts';
import type { Clock } from '../../src/sys/base/clock.ts';
import { engineIn, KEY } from './engine.ts';
import type { OpenOptions } from '../../src/engine/hypervisors/hypervisors.ts';
import { fakeRunHost } from './fake-hypervisor/fake-run-host.ts';
import type { FakeHost } from './fake-hypervisor/host.ts';
import { hostDisk } from './fake-hypervisor/host-disk.ts';
import { type ManagedHome, managedHome, NO_FILES } from './hypervisors.ts';
import { emptyService } from './service-context.ts';
import { noise } from './random.ts';
import { temporaryDirectory } from './temporary.ts';

/** A store with a recovery point of a machine "web1" of a fake hypervisor "kvm1", and a service that can run it. */
export interface PlacedHome {
  readonly store: string;
  readonly rig: RunTestHost;
  readonly host: FakeHost;
  readonly point: string;
  /** One of each machine. */
  readonly points: readonly string[];
  /** The hypervisors that it knows. */
  readonly managed: ManagedHome;
  /** Before the fake is connected. */
  opening: (options: OpenOptions) => void;
  /** What happens to each call of the fake. */
  mishap: OnCall;
  /** Around the work of keeping a session. */
  keeping: (work: () => Promise<KeptSession>) => Promise<KeptSession>;
  /** Before each change of the store's names and of the box's memory; what it throws is how it fails. */
  effect: (name: string) => void;
  /** The longest pause. */
  longestMs: number;
  /** The service, started; sessions are resumed. `onLog`: called with each line of a session's log. */
  service(onLog?: (message: string) => void): Promise<PlacedService>;
}

export interface PlacedService extends AsyncDisposable {
  readonly engine: Engine;
  readonly sessions: SessionSupervisor;
  readonly log: readonly string[];
  readonly ask: Handlers;
  /** For calls of `ask`. */
  readonly options: Parameters<Handlers['session/run']>[1];
}

const MIB = 2 ** 20;
const { signal } = new AbortController();

/** What any run of it asks for. */
export const RUN: Omit<RequestOf<'session/run'>, 'points'> = {
  ...{ on: 'kvm1', name: undefined, pool: 'fast', networks: [], isolated: false, powerOn: true },
  writes: 'here',
  ...{ migrate: 'later', migrateAfter: undefined, replace: 'keep', run: undefined },
  ...{ delay: undefined, heartbeat: undefined },
};

/** What any migration of it asks for. */
export const MIGRATE: Omit<RequestOf<'session/migrate'>, 'session'> = {
  ...{ pool: undefined, cancel: false, offline: false, stop: undefined },
  ...{ start: false, confirmed: false },
};

/** Disks that this process serves on sockets, as a host finds them: what is in them does not matter here. */
class ServedHere extends Map<string, { bytes: ReturnType<typeof hostDisk>; isUp: boolean }> {
  override get(url: string) {
    const known = super.get(url);
    if (known) return known;
    const socket = /\?socket=(.*)$/.exec(url)?.[1];
    if (socket === undefined) return undefined;
    const path = decodeURIComponent(socket);
    const made = {
      bytes: hostDisk(MIB),
      get isUp() {
        return existsSync(path);
      },
      set isUp(_) {},
    };
    this.set(url, made);
    return made;
  }
}

/** No pause is long. */
function hurried(clock: Clock, longest: () => number): Clock {
  return { ...clock, sleep: (ms, until) => clock.sleep(Math.min(ms, longest()), until) };
}

const CHANGES = ['makeDirectory', 'rename', 'unlink', 'removeTree'] as const;

/** `effect` comes before each call of these. */
function noted<T extends object>(
  whole: T,
  names: readonly (keyof T & string)[],
  effect: (name: string) => void,
): T {
  const changed = names.map((name) => {
    const work = whole[name] as (...all: unknown[]) => Promise<unknown>;
    const noted = async (...all: unknown[]): Promise<unknown> => {
      effect(name);
      return work.apply(whole, all);
    };
    return [name, noted] as const;
  });
  return { ...whole, ...Object.fromEntries(changed) };
}

/** Names in a directory of the store that are not always there. */
export const filesIn = (home: PlacedHome, directory: string): readonly string[] =>
  readdirSync(join(home.store, directory)).filter((name) => name !== 'lock' && name !== 'readers');

/** A store with a recovery point of each of these machines of a host. */
export async function placedHome(machines: readonly string[] = ['web1']): Promise<PlacedHome> {
  const home = await engineIn(temporaryDirectory());
  const rig = fakeRunHost();
  const { host } = rig as unknown as { host: FakeHost };
  Object.assign(host, { served: new ServedHere() });
  for (const name of machines) {
    await rig.machine({ name, disks: { vda: MIB, vdb: MIB }, isOff: true });
  }
  for (const { disks } of host.machines.values()) {
    for (const { bytes } of disks.values()) bytes.write(noise(10_000, disks.size), 40_000);
  }
  const it: Pick<PlacedHome, 'opening' | 'mishap' | 'keeping' | 'effect' | 'longestMs'> = {
    opening() {},
    mishap: () => undefined,
    keeping: (work) => work(),
    effect: () => {},
    longestMs: 20,
  };
  const managed = managedHome((options) => {
    it.opening(options);
    return rig.connect({ onCall: (name, count) => it.mishap(name, count) });
  });
  const { hypervisors } = managed;
  const own = { ...NO_FILES, sockets: undefined, scratch: undefined, hostKey: undefined };
  await add(hypervisors, { hypervisor: 'kvm1', uri: 'fake:///system', ...own }, { signal });
  await using engine = await home.open();
  const { points } = await backupMachines(
    engine,
    {
      ...{ set: 'nightly', from: ['kvm1/*'], consistency: 'crash', strict: false },
      ...{ machine: undefined, only: undefined, exclude: undefined, window: undefined },
    },
    { hypervisors, secrets: KEY, signal, report() {} },
  );
  // One object: what a test changes later is what the service sees.
  return Object.assign(it, {
    ...{ store: home.store, rig, host, point: points[0]!.point },
    points: points.map(({ point }) => point),
    managed,
    async service(onLog: (message: string) => void = () => {}) {
      const opened = await openEngine(home.store);
      const { store } = opened;
      // A service that was killed stays dead, whatever the next one does.
      const { effect } = it;
      const engine = {
        ...opened,
        memory: noted(opened.memory, ['remember', 'settle', 'forget'], effect),
        store: {
          ...store,
          clock: hurried(store.clock, () => it.longestMs),
          files: noted(store.files, CHANGES, effect),
        },
      };
      const log: string[] = [];
      const work = { secrets: KEY, signal, report: (() => {}) as Report };
      const sessions = sessionSupervisor(engine, {
        secrets: KEY,
        hypervisors: async () => hypervisors,
        onEvent(event) {
          log.push(`${event.kind} ${'message' in event ? event.message : ''}`.trim());
          if ('message' in event) onLog(event.message);
        },
        async keep(session, options) {
          await using other = await openEngine(home.store);
          return await it.keeping(() => keep(other, session, options));
        },
      });
      await sessions.recover();
      const none = async (): Promise<never> => {
        throw new Error('this is not here');
      };
      const context = {
        ...emptyService(none),
        engine: async () => engine,
        sessions: async () => sessions,
        jobs: async () => ({ schedules: { list: () => [] } }) as unknown as JobService,
        keep: async (request: RequestOf<'session/keep'>, options: typeof work) =>
          (await keepThere({ engine, sessions }, request, options)) ?? none(),
        whyWaiting: sessions.whyWaiting,
        overlay: sessions.overlay,
        machine: sessions.machine,
        driven: sessions.driven,
      };
      const ask = serviceHandlers(context, {
        host: handlersFor(namesOf('hostd'), none),
        files: handlersFor(namesOf('filesd'), none),
        inWorker: handlersFor(namesOf('worker'), none),
        hypervisors: async () => hypervisors,
        isSecret: () => true,
      });
      return {
        ...{ engine, sessions, log, ask },
        options: { ...work, given: undefined, who: undefined },
        async [Symbol.asyncDispose]() {
          await sessions[Symbol.asyncDispose]();
          await engine[Symbol.asyncDispose]();
        },
      };
    },
  });
}
