import type { SealedOverlayStats } from '../../block/sealed/sealed-overlay.ts';
import { parseNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import { readPoint } from '../../catalog/points.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { Damage } from '../../operations/nouns/backup.ts';
import type { KeptSession, OverlayFigures, ReadySession } from '../../operations/nouns/session.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { AttachedDisk } from '../../sessions/guest/guest-config.ts';
import type { SessionMachine } from '../../sessions/guest/session-machine.ts';
import type { ServedSession, ServeEvent } from '../../sessions/serve/serve-session.ts';
import {
  discardSession,
  type HeldSession,
  type NewSession,
  resumeSession,
  startSession,
} from '../../sessions/state/held-session.ts';
import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import type { TryBootOptions } from '../../sessions/guest/try-boot.ts';
import { realWorld } from '../../sys/world.ts';
import { PAGE_LENGTH } from '../../formats/store/sessions/overlay-log.ts';
import type { Placement } from '../../formats/store/sessions/placement.ts';
import type { WhenFull } from '../../formats/store/sessions/session.ts';
import { isOpenSocket } from '../../sessions/state/session-sockets.ts';
import { clearSockets } from '../../sys/net/network.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { socketDirectory } from '../../sys/net/socket-directory.ts';
import { mayOpenDisks, userMayOpenDisks } from '../base/access.ts';
import { attachments, nfsParts } from './attach.ts';
import type { NfsRequest } from './nfs-place.ts';
import { damageNotice } from '../base/damage-notice.ts';
import { knownPoint, notePublished } from '../points/published-points.ts';
import { forgetSession, requireOwnSession } from './orders.ts';
import type { PlacedParts } from './placed/driven-session.ts';
import { noteForLoss, oweLost } from './placed/lost-machine.ts';
import { requireDriven } from './placed/require-driven.ts';
import { announce, settle } from './recorded-session.ts';
import {
  type Engine,
  openPoint,
  openSet,
  type SecretSource,
  type WorkOptions,
} from '../base/engine.ts';
import { formatListenAddress, parseListenAddress } from '../base/listen-address.ts';
import { readTlsFiles, type TlsFiles } from '../secrets/tls-files.ts';

export interface RecoverRequest {
  readonly what:
    | {
        readonly kind: 'point';
        readonly point: string;
        readonly whenFull: WhenFull;
        readonly place?: PlaceWish;
      }
    | { readonly kind: 'resume'; readonly session: string };
  /** `unix:PATH`, `tcp:HOST:PORT`, `fd:N`; undefined: a socket in the session's directory. */
  readonly listen: string | undefined;
  readonly tls: TlsFiles | undefined;
  readonly nfs: NfsRequest | undefined;
}

export interface PlaceWish {
  /** The hypervisor's name in Holdfast. */
  readonly on: string;
  /** Once its disks are served. Rejects if no machine can be placed: then the session is removed. */
  readonly plan: (parts: PlacedParts, options: WorkOptions) => Promise<Placement>;
}

export interface RecoverOptions extends WorkOptions {
  /** Whether this process carries on sessions with a machine on a hypervisor. */
  readonly drives?: boolean;
}

/** The most that are kept. */
const DAMAGE_MAX = 100;

/** A session that runs until disposed; it can then be resumed. */
export interface RunningSession extends AsyncDisposable {
  readonly ready: ReadySession;
  readonly exports: ServedSession['shown'];
  /** Unreadable parts of its overlays found so far; a long list is cut. */
  readonly damage: readonly Damage[];
  /** Undefined: nothing is known of it. */
  readonly machine: SessionMachine | undefined;
  /** For a machine on a hypervisor. */
  readonly parts: PlacedParts;
  /** Undefined: its overlays are not sealed. */
  overlay(): OverlayFigures | undefined;
  /** Boots it in this terminal; resolves when the guest is off. */
  boot(options: GuestOptions): Promise<void>;
}

export type GuestOptions = Omit<TryBootOptions, 'disks' | 'files'>;

async function boot(options: Omit<TryBootOptions, 'files'>): Promise<void> {
  const { tryBoot } = await import('../../sessions/guest/try-boot.ts');
  await tryBoot({ ...options, files: realWorld().files });
}

/** Boots, in this terminal, a session that another process runs. */
export async function bootReady({ exports }: ReadySession, options: GuestOptions): Promise<void> {
  const disks = exports.map(({ disk, uri, sectorSize }): AttachedDisk => {
    const { address } = parseNbdUri(uri);
    return { disk, address, tls: undefined, ...(sectorSize && { sectorSize }) };
  });
  await boot({ ...options, disks });
}

/** Starts a session; one that cannot be served is removed. */
export async function recover(
  engine: Engine,
  request: RecoverRequest,
  options: RecoverOptions,
): Promise<RunningSession> {
  let fresh: string | undefined;
  try {
    return await run(engine, request, { ...options, onNew: (id) => (fresh = id) });
  } catch (cause) {
    // The first failure is the one that is reported.
    if (fresh !== undefined) await discard(engine, fresh, () => {}).catch(() => {});
    throw cause;
  }
}

/**
 * Loads code while another thread derives the key from a passphrase: a guest waits for both, and loading blocks this
 * thread.
 */
function loadedMeanwhile<Code>(secrets: SecretSource, load: () => Promise<Code>) {
  let loading: Promise<Code> | undefined;
  const loaded = (): Promise<Code> => (loading ??= load());
  return {
    loaded,
    async secrets(...asked: Parameters<SecretSource>) {
      const given = await secrets(...asked);
      // By then the derivation is under way.
      setImmediate(() => void loaded());
      return given;
    },
  };
}

async function run(
  engine: Engine,
  request: RecoverRequest,
  { report, onNew, ...options }: RecoverOptions & { readonly onNew: (id: string) => void },
): Promise<RunningSession> {
  const { store, memory } = engine;
  const { secrets, loaded: serving } = loadedMeanwhile(
    options.secrets,
    () => import('../../sessions/serve/serve-session.ts'),
  );
  /** A resumed session had clients before; a new one should rather not begin. */
  function onDates(message: string): void {
    if (request.what.kind === 'point') throw new SystemError('FAILED', message);
    report({ event: 'notice', message });
  }
  // The last start of the machine may have removed it.
  const sockets = socketDirectory();
  const listen = request.listen === undefined ? undefined : parseListenAddress(request.listen);
  const nfs =
    request.nfs && (await nfsParts()).nfsPlace(request.nfs, (await engine.nfs()).inherited);
  const tls = request.tls && (await readTlsFiles(store, request.tls, onDates));
  await using stack = new AsyncDisposableStack();
  let session: HeldSession;
  let set: OpenSet;
  let point: PointRecord;
  if (request.what.kind === 'point') {
    ({ set, point } = await openPoint(engine, request.what.point, secrets));
    const { whenFull, place } = request.what;
    session = stack.use(
      await startSession(store, point, {
        listen: request.listen,
        sockets,
        ...{ tls: tls !== undefined, nfs, whenFull },
        ...runOn(engine, place, report),
      }),
    );
    onNew(session.record.id);
  } else {
    const { record } = await sessionStatus(store, request.what.session);
    // The point is read from the record here: a session that is refused anyway must not ask for a key.
    await requireOwnSession(memory, record);
    requireDriven(record, request, options.drives);
    set = await openSet(engine, record.set, secrets);
    point = await readPoint(store, set, record.point);
    const secured = { tls: tls !== undefined };
    session = stack.use(await resumeSession(store, record.id, secured));
    // Checked again, now that no other process can change it.
    await requireOwnSession(memory, session.record);
  }
  const { record } = session;
  const place = nfs ?? record.nfs;
  const damage: Damage[] = [];
  const lost = new Set<string>();
  const notice = (message: string): void => report({ event: 'notice', message });
  const machine = await describedMachine(store, { set, point, notice });
  const { reader } = stack.use(await engine.reader());
  const served = stack.use(
    await (await serving()).serveSession(store, record, {
      ...{ set, point, machine, reader, shared: engine.disks, memory: engine.guestMemory },
      tls,
      nfs: place && { place, server: await engine.nfs() },
      listen: listen ?? parseListenAddress(record.listen),
      isFenced: record.phase === 'pivoting' && record.placement?.offline !== undefined,
      admits: (peer) => mayOpenDisks(peer),
      admitsUser: userMayOpenDisks,
      begin: (disk) => session.begin(disk),
      onEvent(event) {
        if (event.kind === 'damaged') {
          const { where, what } = event;
          // Its readers get an error each time.
          if (damage.length >= DAMAGE_MAX || damage.some((it) => it.what === what)) return;
          damage.push({ where, what });
        }
        if (event.kind === 'lost') {
          if (lost.size >= DAMAGE_MAX || lost.has(event.what)) return;
          lost.add(event.what);
        }
        report({ event: 'notice', message: noticeOf(event) });
      },
    }),
  );
  const { files } = served;
  const found = {
    listen: formatListenAddress(served.address),
    tls: tls !== undefined,
    nfs: place && files && { ...place, ports: files.ports },
    ...(request.what.kind === 'resume' && ORDINARY),
  };
  await settle(engine, session, { change: found, report });
  const owned = stack.move();
  return {
    ready: await attachments({ ...record, ...found }, tls?.kind, machine),
    machine,
    parts: partsOf(store, session, { opened: { set, point }, served }),
    exports: served.shown,
    damage,
    overlay: () => figuresOf(served.overlays()),
    boot: (options) => boot({ ...options, disks: attachedHere(served) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A person goes on with what a run has left: the next start does not remove it. */
const ORDINARY = { runsOn: undefined };

/** What a kill leaves of it is removed at the next start, if the box knows it. */
function runOn(
  engine: Engine,
  place: PlaceWish | undefined,
  report: WorkOptions['report'],
): Pick<NewSession, 'runsOn' | 'onRecord'> {
  if (!place) return {};
  return { runsOn: place.on, onRecord: (record) => announce(engine, record, report) };
}

function figuresOf(overlays: readonly SealedOverlayStats[]): OverlayFigures | undefined {
  if (overlays.length === 0) return undefined;
  const sum = (name: 'live' | 'appended' | 'copied'): number =>
    overlays.reduce((total, it) => total + it[name], 0) * PAGE_LENGTH;
  return { liveBytes: sum('live'), writtenBytes: sum('appended'), copiedBytes: sum('copied') };
}

async function describedMachine(
  store: Store,
  {
    notice,
    ...from
  }: {
    readonly set: OpenSet;
    readonly point: PointRecord;
    readonly notice: (message: string) => void;
  },
): Promise<SessionMachine | undefined> {
  if (!from.point.files) return undefined;
  const { machineOf } = await import('../../sessions/guest/read-machine.ts');
  return machineOf(store, from, (what) =>
    notice(`the configuration for hypervisors is made without a part of the machine: ${what}`),
  );
}

function noticeOf(event: ServeEvent): string {
  switch (event.kind) {
    case 'paused':
      return 'no space is left: guests wait until there is some';
    case 'prefetched':
      return `${formatSize(event.bytes)} of the last boot are in memory`;
    case 'damaged':
      return `damage in what the guest wrote: ${event.what}`;
    case 'lost':
      return `a read of the guest failed, since the store has lost part of the recovery point: ${event.what}`;
    default:
      return event satisfies never;
  }
}

function partsOf(
  store: Store,
  held: HeldSession,
  { opened, served }: Pick<PlacedParts, 'opened'> & { readonly served: ServedSession },
): PlacedParts {
  return {
    ...{ held, opened, plan: plansOf(store, opened) },
    disk: (name) => served.disk(name),
    setFence: (isUp) => served.setFence(isUp),
    endExports: async () => served[Symbol.asyncDispose](),
  };
}

/** Loaded on demand, as few sessions need it. */
function plansOf(store: Store, opened: PlacedParts['opened']): PlacedParts['plan'] {
  let plans: Promise<PlacedParts['plan']> | undefined;
  return async (record, exports) => {
    plans ??= import('./placed/run-plan.ts').then((it) => it.runPlans(store, opened));
    return (await plans)(record, exports);
  };
}

/** From now on its machine is placed on the hypervisor, also by another process that finds its journal. */
export async function place(
  engine: Engine,
  { parts: { held } }: RunningSession,
  { placement, report }: { readonly placement: Placement } & Pick<WorkOptions, 'report'>,
): Promise<void> {
  if (!engine.store.has('placed-session')) throw notUpgraded();
  await noteForLoss(engine, held.record.id, { placement, report });
  await settle(engine, held, {
    change: { placement, phase: 'placing', runsOn: undefined },
    report,
  });
}

export function notUpgraded(): SessionError {
  const what =
    'this store was made by an earlier release, without sessions that have a machine on a hypervisor';
  return new SessionError('UNSUPPORTED', `${what}: upgrade it with "holdfast store upgrade"`);
}

function attachedHere({ exports, here: address }: ServedSession): AttachedDisk[] {
  return exports.map(({ disk, sectorSize }) => ({
    ...{ disk, address, tls: undefined },
    ...(sectorSize && { sectorSize }),
  }));
}

/** Removes sockets of sessions that killed processes left in the shared directory; returns their paths. */
export async function clearSessionSockets(): Promise<readonly string[]> {
  const directory = socketDirectory();
  return directory === undefined ? [] : clearSockets(directory, isOpenSocket);
}

export async function discard(
  engine: Engine,
  id: string,
  tell: (message: string) => void,
): Promise<void> {
  await discardSession(engine.store, id, () => oweLost(engine, id, tell));
  await forgetSession(engine.memory, id, { tell });
}

export async function keep(
  engine: Engine,
  id: string,
  { secrets, signal, report }: WorkOptions,
): Promise<KeptSession> {
  const { store, workers, memory } = engine;
  const damage: Damage[] = [];
  const { record } = await sessionStatus(store, id);
  await requireOwnSession(memory, record);
  const set = await openSet(engine, record.set, secrets);
  const sizes = new Map(record.disks.map(({ name, size }) => [name, size]));
  const { keepSession } = await import('../../sessions/finish/keep-session.ts');
  const tell = (message: string): void => report({ event: 'notice', message });
  const { point } = await keepSession(store, id, {
    allow: (held) => requireOwnSession(memory, held),
    known: await knownPoint(engine, { set: record.set, machine: record.machine }),
    set,
    workers,
    signal,
    onProgress: (disk, position) =>
      report({ event: 'progress', phase: `keep ${disk}`, position, total: sizes.get(disk) ?? 0 }),
    onDamage(where, what) {
      damage.push({ where, what });
      tell(damageNotice({ where, what }));
    },
  });
  await notePublished(engine, set, point, tell);
  await forgetSession(memory, id, { tell });
  return { session: id, point, damage };
}
