import type { Clock } from '../../sys/base/clock.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { HostError } from '../base/host-error.ts';
import { strays, touchedBy, virtual } from './network-effects.ts';
import {
  type ByHand,
  type NetworkFiles,
  networkFiles,
  type NetworkPlaces,
} from './network-files.ts';
import {
  type Link,
  readLinks,
  readManaged,
  readRoutes,
  readSockets,
  type Route,
} from './network-links.ts';
import { isActive, readOwners, refusalOf } from './network-owner.ts';
import {
  dhcpOn,
  type NetworkPlan,
  type PlannedInterface,
  withInterface,
  withoutInterface,
} from './network-plan.ts';
import { output, type RunProgram } from '../base/programs.ts';

/*
 * Changes of the network that cannot lock the administrator out: a change takes effect at once, and is rolled back
 * automatically unless it is confirmed in time. That does not depend on the process that made it: the old state is on
 * the disk before anything is changed, a timer of systemd's (not ours) rolls the change back, and so does a unit
 * before networkd when the host starts.
 */
export interface Network {
  show(): Promise<NetworkView>;
  change(wanted: PlannedInterface, seconds: number): Promise<PendingView>;
  remove(name: string, seconds: number): Promise<PendingView>;
  /** Rejects NOT_FOUND if no change is pending, or it was rolled back. */
  confirm(): Promise<{ readonly confirmed: string }>;
  /** Rolls the pending change back at once. */
  revert(): Promise<{ readonly reverted: string }>;
  /** Rolls back at the start of the host: only files, since networkd does not run yet. */
  revertFiles(): Promise<void>;
  /** DHCP on all wired interfaces, regardless of the former plan. */
  reset(): Promise<{ readonly interfaces: readonly string[] }>;
}

export interface PendingView {
  readonly what: string;
  readonly secondsLeft: number;
}

export interface NetworkView {
  /** Why the network cannot be changed here; null: it can. */
  readonly refusal: string | null;
  readonly interfaces: readonly InterfaceView[];
  readonly routes: readonly Route[];
  readonly dns: readonly string[];
  readonly domains: readonly string[];
  readonly pending: PendingView | null;
}

export interface InterfaceView extends Link {
  readonly managedBy: 'holdfast' | 'networkd' | 'ifupdown' | 'nobody';
  /** Holdfast's settings for it. */
  readonly planned: PlannedInterface | null;
}

export interface NetworkOptions {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly run: RunProgram;
  readonly places: NetworkPlaces;
}

/** systemd/holdfast-network-revert.service; a timer of the same name starts it. */
const REVERT = 'holdfast-network-revert';
const RESOLVED = 'systemd-resolved.service';
/** The second is used by programs where systemd-resolved does not run. */
const RESOLV_CONF = ['/run/systemd/resolve/resolv.conf', '/etc/resolv.conf'];
const RESOLV_CONF_MAX = 64 * 1024;
/** networkd sets addresses within a moment, where there is a carrier. */
const SETTLE_TRIES = 20;
const SETTLE_MS = 100;

export function openNetwork(options: NetworkOptions): Network {
  const { files, clock, run, places } = options;
  const own = networkFiles(files, places);

  /** Activates a new plan, which is rolled back unless it is confirmed. */
  async function begin(
    what: string,
    next: NetworkPlan,
    { seconds, links }: { readonly seconds: number; readonly links: readonly Link[] },
  ): Promise<PendingView> {
    const before = await own.state();
    const plan = own.planIn(before);
    const untilMs = clock.now().getTime() + seconds * 1000;
    const byHand = await readByHand(run, touchedBy(plan, next), links);
    // A plan that cannot be stored, or restored, is refused before anything is changed.
    const made = own.stateOf(next);
    const pending = own.pendingOf({ what, untilMs, before, byHand });
    // In the other order, a crash between the two would leave a change that nothing rolls back.
    await startTimer(run, seconds);
    await own.begin(pending);
    try {
      await own.put(made);
      await activate(options, plan, next);
      await checkMade(run, next);
    } catch (cause) {
      await rollBack(options, own);
      throw cause;
    }
    return { what, secondsLeft: seconds };
  }
  const changing = <T>(work: () => Promise<T>): Promise<T> =>
    own.locked(async () => {
      const pending = await own.pending();
      if (!pending) return work();
      throw new HostError(
        'PENDING',
        `${pending.what} is not confirmed yet: "network confirm", or wait`,
      );
    });
  return {
    show: () => show(options, own),
    change: (wanted, seconds) =>
      changing(async () => {
        await mayChange(options, wanted);
        const links = await readLinks(run);
        const plan = withInterface(own.planIn(await own.state()), wanted, links);
        return begin(`the change of ${wanted.name}`, plan, { seconds, links });
      }),
    remove: (name, seconds) =>
      changing(async () => {
        const plan = withoutInterface(own.planIn(await own.state()), name);
        const links = await readLinks(run);
        return begin(`the removal of ${name}`, plan, { seconds, links });
      }),
    confirm: () =>
      own.locked(async () => {
        const pending = await own.pending();
        if (!pending)
          throw new HostError(
            'NOT_FOUND',
            'no change is pending: it was rolled back, or there was none',
          );
        await own.end();
        await stopTimer(run);
        return { confirmed: pending.what };
      }),
    revert: () =>
      own.locked(async () => {
        const pending = await own.pending();
        if (!pending) throw new HostError('NOT_FOUND', 'no change is pending');
        await rollBack(options, own);
        return { reverted: pending.what };
      }),
    revertFiles: () =>
      own.locked(async () => {
        const pending = await own.pending();
        if (!pending) return;
        await own.put(pending.before);
        await own.end();
      }),
    reset: () => own.locked(() => reset(options, own)),
  };
}

async function show(
  { files, run, clock }: NetworkOptions,
  own: NetworkFiles,
): Promise<NetworkView> {
  const owners = await readOwners(files, run);
  const isOurs = owners.refusal === undefined;
  const managed = isOurs ? await readManaged(run) : new Map<string, string>();
  const plan = own.planIn(await own.state());
  const links = await readLinks(run);
  const pending = await own.pending();
  const leftMs = pending === undefined ? 0 : pending.untilMs - clock.now().getTime();
  const bonds = plan.interfaces.flatMap(({ kind }) => (kind.kind === 'bond' ? kind.members : []));
  return {
    refusal: owners.refusal ?? null,
    interfaces: links
      .filter(({ kind }) => kind !== 'loopback')
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((link) => {
        const planned = plan.interfaces.find(({ name }) => name === link.name) ?? null;
        const state = managed.get(link.name) ?? 'unmanaged';
        const other = owners.ifupdown.has(link.name) ? 'ifupdown' : 'nobody';
        const networkd = state === 'unmanaged' ? other : 'networkd';
        const isHoldfasts = planned !== null || bonds.includes(link.name);
        return { ...link, planned, managedBy: isHoldfasts ? 'holdfast' : networkd };
      }),
    routes: await readRoutes(run),
    ...(await readNameServers(files)),
    pending: pending
      ? { what: pending.what, secondsLeft: Math.max(0, Math.ceil(leftMs / 1000)) }
      : null,
  };
}

async function readNameServers(
  files: FileSystem,
): Promise<{ readonly dns: readonly string[]; readonly domains: readonly string[] }> {
  for (const path of RESOLV_CONF) {
    if (!(await files.stat(path))) continue;
    const text = Buffer.from(await files.readFile(path, RESOLV_CONF_MAX)).toString('utf8');
    const dns = [...text.matchAll(/^nameserver\s+(\S+)/gm)].map(([, it]) => it!);
    const domains = [...text.matchAll(/^search\s+(.+)$/gm)].flatMap(([, it]) =>
      it!.trim().split(/\s+/),
    );
    return { dns, domains: domains.filter((it) => it !== '.') };
  }
  return { dns: [], domains: [] };
}

/** Rejects REFUSED, with what to do first. */
async function mayChange({ files, run }: NetworkOptions, wanted: PlannedInterface): Promise<void> {
  const owners = await readOwners(files, run);
  const { kind } = wanted;
  const names = [wanted.name, ...(kind.kind === 'bond' ? kind.members : [])];
  const refusal = names.map((it) => refusalOf(owners, it)).find((it) => it !== undefined);
  if (refusal !== undefined) throw new HostError('REFUSED', refusal);
  if (wanted.dns.length > 0 && !(await isActive(run, RESOLVED))) {
    throw new HostError(
      'REFUSED',
      'name servers are used by systemd-resolved, which does not run here: apt-get install systemd-resolved',
    );
  }
  const state = await output(run, 'systemctl', ['show', '-P', 'LoadState', `${REVERT}.service`]);
  if (state.trim() === 'loaded') return;
  throw new HostError(
    'REFUSED',
    `${REVERT}.service is not installed: a change could not be rolled back; run appliance/install`,
  );
}

/** Addresses and routes on interfaces without configuration: restored with everything else. */
async function readByHand(
  run: RunProgram,
  names: ReadonlySet<string>,
  links: readonly Link[],
): Promise<ByHand[]> {
  const managed = await readManaged(run);
  const routes = await readRoutes(run);
  const alone = links.filter(
    (it) => names.has(it.name) && (managed.get(it.name) ?? 'unmanaged') === 'unmanaged',
  );
  return alone.map(({ name, addresses }) => ({
    interface: name,
    addresses: addresses.filter(({ from }) => from === 'fixed').map(({ address }) => address),
    routes: routes.flatMap(({ to, via, on }) => (on === name && via !== null ? [{ to, via }] : [])),
  }));
}

async function startTimer(run: RunProgram, seconds: number): Promise<void> {
  await stopTimer(run);
  await output(run, 'systemd-run', [
    ...['--quiet', `--on-active=${seconds}`, '--timer-property=AccuracySec=100ms'],
    `--unit=${REVERT}.service`,
  ]);
}

/** There may be no timer. */
async function stopTimer(run: RunProgram): Promise<void> {
  await run('systemctl', ['stop', `${REVERT}.timer`]);
}

/** Restores the former state, in the files and in the kernel. */
async function rollBack(options: NetworkOptions, own: NetworkFiles): Promise<void> {
  const { run } = options;
  const pending = await own.pending();
  if (!pending) return;
  const now = await own.planNow();
  await own.put(pending.before);
  const before = own.planIn(pending.before);
  const touched = touchedBy(now, before);
  // The files are restored already: an earlier rollback was interrupted, at an unknown point.
  const isSecondTry = touched.size === 0;
  const all = new Set(before.interfaces.map(({ name }) => name));
  await activate(options, now, before, isSecondTry ? all : touched);
  for (const it of pending.byHand) {
    // Some may still exist: that is not a failure.
    for (const address of it.addresses)
      await run('ip', ['address', 'add', address, 'dev', it.interface]);
    if (it.addresses.length > 0) await run('ip', ['link', 'set', it.interface, 'up']);
    for (const { to, via } of it.routes) {
      await run('ip', ['route', 'add', to, 'via', via, 'dev', it.interface]);
    }
  }
  await own.end();
  await stopTimer(run);
}

async function reset(
  options: NetworkOptions,
  own: NetworkFiles,
): Promise<{ readonly interfaces: readonly string[] }> {
  const { files, run } = options;
  const { refusal } = await readOwners(files, run);
  if (refusal !== undefined) throw new HostError('REFUSED', refusal);
  const before = await own.planNow();
  const next = dhcpOn(await readSockets(run));
  await own.put(own.stateOf(next));
  // It replaces an unconfirmed change.
  if (await files.stat(options.places.pending)) await own.end();
  await stopTimer(run);
  await activate(options, before, next);
  return { interfaces: next.interfaces.map(({ name }) => name) };
}

/** Rejects FAILED if the kernel, or networkd, did not create an interface. */
async function checkMade(run: RunProgram, plan: NetworkPlan): Promise<void> {
  const links = await readLinks(run);
  const missing = virtual(plan).find((it) => !links.some(({ name }) => name === it));
  if (missing === undefined) return;
  throw new HostError(
    'FAILED',
    `${missing} could not be created, and the change was rolled back: see journalctl -u systemd-networkd`,
  );
}

/** Makes networkd, and the kernel, follow the files. */
async function activate(
  { run, clock }: NetworkOptions,
  before: NetworkPlan,
  after: NetworkPlan,
  touched = touchedBy(before, after),
): Promise<void> {
  for (const name of virtual(before)) {
    // networkd keeps them after their files are gone. An interface may already be gone.
    if (!virtual(after).includes(name)) await run('ip', ['link', 'delete', 'dev', name]);
  }
  await output(run, 'networkctl', ['reload']);
  const there = (await readLinks(run)).filter(({ name }) => touched.has(name));
  if (there.length > 0)
    await output(run, 'networkctl', ['reconfigure', ...there.map(({ name }) => name)]);
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    const { missing, left } = strays(after, touched, await readLinks(run));
    for (const it of left) await run('ip', ['address', 'delete', it.address, 'dev', it.on]);
    if (missing.length === 0 && left.length === 0) return;
    await clock.sleep(SETTLE_MS);
  }
}
