import { localExports } from '../../../src/hypervisors/base/export-way.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type {
  DiskMove,
  DiskPlace,
  HypervisorEvent,
  Look,
  PlacedMachine,
  ReservedDisk,
  RunDriver,
  RunPower,
  SettledPlan,
} from '../../../src/hypervisors/base/run-driver.ts';
import type { Link } from './describe.ts';
import { type FakeDisk, type FakeHost, type FakeMachine, machineOf } from './host.ts';
import {
  advance,
  beginCopy,
  beginPull,
  define,
  isUsed,
  keepFiles,
  pivotDisk,
  rename,
  setPower,
  undefine,
  usedOf,
} from './host-run.ts';
import { release, reserve, reservedOf } from './reserved.ts';
import { checkRun } from './run-check.ts';
import { switchDisks } from './switch-disks.ts';

export function runDriver(open: () => Link): RunDriver {
  return {
    exports: localExports,
    async places(signal) {
      const { host, wire } = open();
      return wire.call('list places', () => placesOf(host), signal);
    },
    check: async (plan, signal) => checkRun(open(), plan, signal),
    reserve: async (plan, signal) => reserve(open(), plan, signal),
    release: async (session, signal) => release(open(), session, signal),
    async show(plan, signal) {
      const { host, wire } = open();
      const served = plan.disks.map(({ name, urls }) => ({ name, source: urls[0]! }));
      const sources = served.map(({ source }) => source);
      await wire.call('show', () => void host.shown.set(plan.session, sources), signal);
      return plan.writes === 'here' ? served : reservedOf(open(), plan, signal);
    },
    hide: async (session, signal) => hide(open(), session, signal),
    setAside: async (id, session, signal) => setAside(open(), { id, session }, signal),
    putBack: async (id, session, signal) =>
      endAside(open(), { id, session }, { isBack: true, signal }),
    leaveAside: async (id, session, signal) =>
      endAside(open(), { id, session }, { isBack: false, signal }),
    removeAside: async (id, session, signal) => removeAside(open(), { id, session }, signal),
    register: async (plan, disks, signal) => {
      const { host, wire } = open();
      for (const { name, bytes } of plan.files) {
        const path = `/fake/${plan.session}/${name}`;
        const file = { session: plan.session, bytes: Uint8Array.from(bytes) };
        await wire.call('place file', () => void host.placedFiles.set(path, file), signal);
      }
      const found = await find(open(), plan.session, signal);
      if (found !== undefined) return found;
      await wire.call('define', () => define(host, plan, disks), signal);
      return plan.uuid;
    },
    find: async (session, signal) => find(open(), session, signal),
    start: async (placed, signal) => power(open(), placed, { isOn: true, signal }),
    stop: async (placed, _how, signal) => power(open(), placed, { isOn: false, signal }),
    async look({ id }, signal) {
      const { host, wire } = open();
      return wire.call('look', () => lookAt(host, id), signal);
    },
    move: async (placed, to, signal) => move(open(), placed, { to, signal }),
    moving: async (placed, signal) => moving(open(), placed, signal),
    cancelMove: async (placed, signal) => cancelMove(open(), placed, signal),
    pivot: async (placed, signal) => pivot(open(), placed, signal),
    switchDisks: async (placed, to, signal) =>
      switchDisks(open(), placed.id, { seen: await ours(open(), placed, signal), to, signal }),
    settle: async (placed, plan, signal) => settle(open(), placed, { plan, signal }),
    unregister: async (placed, signal) => unregister(open(), placed, signal),
    events: (signal) => eventsOf(open().host, signal),
  };
}

function placesOf(host: FakeHost) {
  const pools = [...host.pools].map(([name, size]) => ({
    ...{ name, size },
    free: size - usedOf(host, name),
    directory: `/fake/pools/${name}`,
  }));
  return { pools, networks: [...host.networks] };
}

async function hide({ host, wire }: Link, session: string, signal: AbortSignal): Promise<void> {
  const isBusy = () => (host.shown.get(session) ?? []).some((source) => isUsed(host, source));
  if (await wire.call('look for users', isBusy, signal)) {
    throw new HypervisorError('BUSY', `a machine uses the disks of session ${session}`);
  }
  await wire.call('hide', () => void host.shown.delete(session), signal);
}

async function setAside(
  { host, wire }: Link,
  { id, session }: PlacedMachine,
  signal: AbortSignal,
): Promise<void> {
  const look = () => ({ ...machineOf(host, id) });
  const { aside, name } = await wire.call('look', look, signal);
  if (aside && aside.session !== session) {
    throw new HypervisorError('CONFLICT', `session ${aside.session} has set ${name} aside`);
  }
  if (aside) return;
  // One call, as where the mark and the name are both of the definition.
  await wire.call(
    'rename',
    () => {
      rename(host, id, asideName(name));
      machineOf(host, id).aside = { session, name };
    },
    signal,
  );
}

async function removeAside(
  { host, wire }: Link,
  { id, session }: PlacedMachine,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = await wire.call('look', () => host.machines.get(id), signal);
  if (!found) return [];
  const { aside, name, disks } = found;
  if (aside?.session !== session || name !== asideName(aside.name)) {
    throw new HypervisorError('CONFLICT', `${name} is not set aside by the session ${session}`);
  }
  await wire.call('undefine', () => undefine(host, id), signal);
  return [...disks.values()].flatMap(({ layers }) => layers.slice(0, 1));
}

const asideName = (name: string): string => `${name} (replaced)`;

async function endAside(
  { host, wire }: Link,
  { id, session }: PlacedMachine,
  { isBack, signal }: { readonly isBack: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const look = () => ({ ...machineOf(host, id) });
  const { aside, name } = await wire.call('look', look, signal);
  if (!aside) return;
  if (aside.session !== session) {
    throw new HypervisorError('CONFLICT', `session ${aside.session} has set ${name} aside`);
  }
  await wire.call(
    isBack ? 'rename' : 'unmark',
    () => {
      if (isBack) rename(host, id, aside.name);
      machineOf(host, id).aside = undefined;
    },
    signal,
  );
}

async function find({ host, wire }: Link, session: string, signal: AbortSignal) {
  const search = () => [...host.machines.values()].find((it) => it.session === session)?.id;
  return wire.call('find', search, signal);
}

/** What the host says of the machine, once that is known to be ours. */
async function ours(
  { host, wire }: Link,
  { id, session }: PlacedMachine,
  signal: AbortSignal,
): Promise<Extract<Look, { isThere: true }>> {
  const seen = await wire.call('look', () => lookAt(host, id), signal);
  if (!seen.isThere) throw new HypervisorError('NOT_FOUND', `there is no machine ${id}`);
  if (seen.session === session) return seen;
  const whose = seen.session === undefined ? 'is not of a session' : `is of ${seen.session}`;
  throw new HypervisorError('CONFLICT', `machine ${seen.name} (${id}) ${whose}`);
}

function lookAt(host: FakeHost, id: string): Look {
  const machine = host.machines.get(id);
  if (!machine) return { isThere: false };
  const { session, name, hasAgent } = machine;
  const disks = [...machine.disks].map(([disk, it]) => [disk, placeOf(host, it)] as const);
  return {
    ...{ isThere: true, session, name, power: powerOf(machine) },
    disks: Object.fromEntries(disks),
    covered: [...machine.disks].filter(([, it]) => isCovered(host, it)).map(([disk]) => disk),
    heartbeat: hasAgent && machine.power === 'on',
  };
}

function powerOf({ power, hasIoError, isFull }: FakeMachine): RunPower {
  if (isFull) return 'paused-space';
  return hasIoError ? 'paused-io' : power;
}

/** Under a layer of a person's. */
function isCovered(host: FakeHost, disk: FakeDisk): boolean {
  const [top = ''] = disk.layers;
  const isOwn = host.served.has(top) || host.volumes.get(top)?.session !== undefined;
  return placeOf(host, disk) === 'ours' && !isOwn;
}

/** All layers: what is on top may hide what is below. */
function placeOf(host: FakeHost, { layers }: FakeDisk): DiskPlace {
  if (layers.some((source) => host.served.has(source))) return 'ours';
  return layers.some((source) => host.volumes.get(source)?.session) ? 'target' : 'elsewhere';
}

async function power(
  link: Link,
  placed: PlacedMachine,
  { isOn, signal }: { readonly isOn: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const seen = await ours(link, placed, signal);
  if (seen.power === (isOn ? 'on' : 'off')) return;
  await link.wire.call('set power', () => setPower(link.host, placed.id, isOn), signal);
}

async function move(
  link: Link,
  placed: PlacedMachine,
  { to, signal }: { readonly to: readonly ReservedDisk[]; readonly signal: AbortSignal },
): Promise<void> {
  const { host, wire } = link;
  const seen = await ours(link, placed, signal);
  if (seen.power !== 'on') {
    throw new HypervisorError('UNSUPPORTED', `machine ${seen.name} is not running: start it`);
  }
  for (const { name, size, source } of to) {
    const look = () => {
      const disk = machineOf(host, placed.id).disks.get(name);
      const [isCopied, isOver] = [disk?.copy !== undefined, disk?.layers.includes(source)];
      return disk && { size: disk.bytes.size, isCopied, isOver };
    };
    const disk = await wire.call('look at disk', look, signal);
    if (disk?.size !== size) {
      const message = `disk ${name} has ${disk?.size} bytes, the one reserved for it ${size}`;
      throw new HypervisorError('CONFLICT', message);
    }
    if (disk.isCopied || seen.disks[name] === 'target') continue;
    if (disk.isOver && (await isPulling(link, placed, signal))) return;
    const begin = disk.isOver ? beginPull : beginCopy;
    await wire.call('copy', () => begin(host, placed.id, name, source), signal);
  }
}

async function isPulling({ host, wire }: Link, { id }: PlacedMachine, signal: AbortSignal) {
  const look = () => [...machineOf(host, id).disks.values()].some(({ copy }) => copy?.isPull);
  return wire.call('look for pulls', look, signal);
}

async function moving(link: Link, placed: PlacedMachine, signal: AbortSignal) {
  const { host, wire } = link;
  const { disks } = await ours(link, placed, signal);
  const moves: Record<string, DiskMove> = {};
  for (const name of Object.keys(disks)) {
    moves[name] = await wire.call(
      'look at copy',
      (): DiskMove => {
        advance(host, placed.id, name);
        const disk = machineOf(host, placed.id).disks.get(name)!;
        const { copy, copyFailure } = disk;
        if (placeOf(host, disk) === 'target') return { state: 'target' };
        const { isPulled } = machineOf(host, placed.id);
        if (!copy && isPulled && copyFailure === undefined) return { state: 'waiting' };
        if (!copy) return { state: 'source', failure: copyFailure };
        const { done, total } = copy;
        return done < total ? { state: 'copying', done, total } : { state: 'ready' };
      },
      signal,
    );
  }
  return moves;
}

async function cancelMove(link: Link, placed: PlacedMachine, signal: AbortSignal): Promise<void> {
  const { disks } = await ours(link, placed, signal);
  for (const name of Object.keys(disks)) {
    const end = () => {
      const machine = machineOf(link.host, placed.id);
      machine.isPulled = false;
      machine.disks.get(name)!.copy = undefined;
    };
    await link.wire.call('end copy', end, signal);
  }
}

async function pivot(link: Link, placed: PlacedMachine, signal: AbortSignal): Promise<void> {
  const moves = await moving(link, placed, signal);
  const waiting = Object.entries(moves).filter(([, { state }]) => !/ready|target/.test(state));
  if (waiting.length > 0) {
    const names = waiting.map(([name, { state }]) => `${name} (${state})`).join(', ');
    throw new HypervisorError('BUSY', `not ready yet: ${names}`);
  }
  for (const [name, { state }] of Object.entries(moves)) {
    if (state === 'target') continue;
    await link.wire.call('pivot', () => pivotDisk(link.host, placed.id, name), signal);
  }
}

async function settle(
  link: Link,
  placed: PlacedMachine,
  { plan, signal }: { readonly plan: SettledPlan; readonly signal: AbortSignal },
): Promise<void> {
  const { host, wire } = link;
  const { id, session } = placed;
  const seen = await wire.call('look', () => lookAt(host, id), signal);
  const isSettled = seen.isThere && seen.session === undefined && seen.name === plan.name;
  const { disks, name } = isSettled ? seen : await ours(link, placed, signal);
  const left = Object.keys(disks).filter((disk) => disks[disk] === 'ours');
  if (left.length > 0) {
    const message = `machine ${name} still needs disks that Holdfast serves: ${left.join(', ')}`;
    throw new HypervisorError('CONFLICT', message);
  }
  if (isSettled) return;
  await wire.call('keep files', () => keepFiles(host, session), signal);
  // The mark last: as long as it is there, this can be repeated.
  await wire.call(
    'define for good',
    () => {
      const machine = machineOf(host, id);
      Object.assign(machine, {
        session: undefined,
        autostart: plan.autostart ?? machine.autostart,
      });
    },
    signal,
  );
}

async function unregister(link: Link, placed: PlacedMachine, signal: AbortSignal): Promise<void> {
  const { host, wire } = link;
  const { id, session } = placed;
  const seen = await wire.call('look', () => lookAt(host, id), signal);
  if (seen.isThere) {
    const { disks, name } = await ours(link, placed, signal);
    const there = Object.keys(disks).filter((disk) => disks[disk] !== 'ours');
    if (there.length > 0) {
      const message = `machine ${name} has moved: ${there.join(', ')}`;
      throw new HypervisorError('CONFLICT', message);
    }
    await wire.call('undefine', () => undefine(host, id), signal);
  }
  const files = await wire.call(
    'list files',
    () => [...host.placedFiles].filter(([, file]) => file.session === session),
    signal,
  );
  for (const [path] of files) {
    await wire.call('remove file', () => void host.placedFiles.delete(path), signal);
  }
}

async function* eventsOf(host: FakeHost, signal: AbortSignal): AsyncGenerator<HypervisorEvent> {
  const waiting: HypervisorEvent[] = [];
  let wake = (): void => {};
  const watcher = (event: HypervisorEvent): void => {
    waiting.push(event);
    wake();
  };
  const onAbort = (): void => wake();
  host.watchers.add(watcher);
  signal.addEventListener('abort', onAbort);
  try {
    while (!signal.aborted) {
      const event = waiting.shift();
      if (event) yield event;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    host.watchers.delete(watcher);
  }
}
