import { fakeGuest } from '../fake-guest.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type {
  MachinePlan,
  ReservedDisk,
  RunPlan,
  ShownDisk,
} from '../../../src/hypervisors/base/run-driver.ts';
import { announce, type FakeDisk, type FakeHost, type FakeMachine, machineOf } from './host.ts';
import { type HostDisk, hostDisk } from './host-disk.ts';

/*
 * What the host does for machines that run on other machines' disks. It knows nothing of marks: it notes them, and
 * does to any machine what it is asked to.
 */

/** A question after the progress of a copy finds it that much further. */
const PARTS = 3;

export function makeVolume(
  host: FakeHost,
  source: string,
  {
    pool,
    size,
    session,
  }: { readonly pool: string; readonly size: number; readonly session: string },
): void {
  const capacity = host.pools.get(pool);
  if (capacity === undefined) throw new HypervisorError('NOT_FOUND', `there is no pool "${pool}"`);
  if (host.volumes.has(source)) throw new HypervisorError('EXISTS', `volume ${source} exists`);
  if (size > capacity - usedOf(host, pool)) {
    throw new HypervisorError('NO_SPACE', `pool "${pool}" has no ${size} bytes for ${source}`);
  }
  host.volumes.set(source, { pool, size, session, bytes: hostDisk(size) });
}

export function usedOf(host: FakeHost, pool: string): number {
  const volumes = [...host.volumes.values()].filter((it) => it.pool === pool);
  return volumes.reduce((sum, { size }) => sum + size, 0);
}

/** Any machine's, running or not, also as what a copy is written to. */
export function isUsed(host: FakeHost, source: string): boolean {
  return [...host.machines.values()].some(({ disks }) =>
    [...disks.values()].some((it) => it.layers.includes(source) || it.copy?.to === source),
  );
}

export function rename(host: FakeHost, id: string, name: string): void {
  const machine = machineOf(host, id);
  if (machine.power === 'on') {
    throw new HypervisorError('BUSY', `machine ${machine.name} runs: shut it down`);
  }
  requireFree(host, name, machine);
  machine.name = name;
  announce(host, { kind: 'machine', id });
}

function requireFree(host: FakeHost, name: string, but?: FakeMachine): void {
  const other = [...host.machines.values()].find((it) => it.name === name && it !== but);
  if (other) throw new HypervisorError('EXISTS', `a machine "${name}" exists: ${other.id}`);
}

export function define(host: FakeHost, plan: RunPlan, shown: readonly ShownDisk[]): void {
  const disks = shown.map(({ name, source }) => {
    const url = plan.writes === 'here' ? source : servedAt(plan, name);
    const served = host.served.get(url);
    if (!served) throw new HypervisorError('NOT_FOUND', `${url} does not answer`);
    if (plan.writes === 'there') return [name, diskOver(host, source, url)] as const;
    return [name, { ...diskOn(source, served.bytes), isRaw: true }] as const;
  });
  addMachine(host, plan, { session: plan.session, disks: new Map(disks) });
}

function servedAt({ disks }: RunPlan, name: string): string {
  return disks.find((it) => it.name === name)!.urls[0]!;
}

/** The guest reads through it: what is below is the same until it is taken from there. */
function diskOver(host: FakeHost, source: string, url: string): FakeDisk {
  const disk = onVolume(host, source);
  copyAll(host.served.get(url)!.bytes, disk.bytes);
  return { ...disk, layers: [source, url] };
}

function copyAll(from: HostDisk, to: HostDisk): void {
  const all = new Uint8Array(from.size);
  from.read(all, 0);
  to.write(all, 0);
}

/** On volumes, and of no session. */
export function defineStored(
  host: FakeHost,
  plan: MachinePlan,
  disks: readonly ReservedDisk[],
): void {
  const made = disks.map(({ name, source }) => [name, onVolume(host, source)] as const);
  addMachine(host, plan, { session: undefined, disks: new Map(made) });
  for (const [path, file] of host.placedFiles) {
    if (file.session === plan.session) host.placedFiles.set(path, { ...file, session: '' });
  }
}

/** Answers its name. */
export function attachVolume(host: FakeHost, id: string, source: string): string {
  const { disks } = machineOf(host, id);
  const there = [...disks].find(([, { layers }]) => layers.includes(source));
  if (there) return there[0];
  const name = ['vdb', 'vdc', 'vdd'].find((it) => !disks.has(it))!;
  disks.set(name, onVolume(host, source));
  announce(host, { kind: 'machine', id });
  return name;
}

function onVolume(host: FakeHost, source: string): FakeDisk {
  const volume = host.volumes.get(source);
  if (volume) return diskOn(source, volume.bytes);
  throw new HypervisorError('NOT_FOUND', `there is no volume ${source}`);
}

function diskOn(source: string, bytes: HostDisk): FakeDisk {
  return {
    ...{ bytes, layers: [source], copy: undefined, copyFailure: undefined },
    ...{ bus: 'virtio', excluded: undefined, isRaw: false },
  };
}

function addMachine(
  host: FakeHost,
  { uuid: id, name }: MachinePlan,
  { session, disks }: Pick<FakeMachine, 'session' | 'disks'>,
): void {
  requireFree(host, name);
  if (host.machines.has(id)) throw new HypervisorError('EXISTS', `machine ${id} exists`);
  host.machines.set(id, {
    ...{ id, name, session, autostart: false, power: 'off', hasAgent: true },
    ...{
      aside: undefined,
      hasIoError: false,
      isFull: false,
      isPulled: false,
      frozenBy: undefined,
      disks,
      job: undefined,
    },
    ...{ files: new Map(), tokens: new Map(), internalSnapshots: [], guest: fakeGuest() },
  });
  announce(host, { kind: 'machine', id });
}

export function undefine(host: FakeHost, id: string): void {
  const { power, name } = machineOf(host, id);
  if (power !== 'off') throw new HypervisorError('BUSY', `machine ${name} runs`);
  host.machines.delete(id);
  announce(host, { kind: 'machine', id });
}

export function setPower(host: FakeHost, id: string, isOn: boolean): void {
  const machine = machineOf(host, id);
  const down = [...machine.disks.values()].find((it) => !answers(host, it));
  if (isOn && down) {
    throw new HypervisorError('FAILED', `${machine.name}: ${down.layers[0]} does not answer`);
  }
  machine.power = isOn ? 'on' : 'off';
  machine.hasIoError = false;
  machine.isFull = false;
  if (!isOn) for (const disk of machine.disks.values()) disk.copy = undefined;
  announce(host, { kind: 'machine', id });
}

/** Whether all layers of a disk can be read. */
export function answers(host: FakeHost, { layers }: FakeDisk): boolean {
  return layers.every((source) => host.served.get(source)?.isUp !== false);
}

export function beginCopy(host: FakeHost, id: string, name: string, to: string): void {
  const machine = machineOf(host, id);
  const disk = machine.disks.get(name)!;
  const volume = host.volumes.get(to);
  if (machine.power !== 'on') throw new HypervisorError('FAILED', `${machine.name} is off`);
  if (!volume) throw new HypervisorError('NOT_FOUND', `there is no volume ${to}`);
  if (disk.copy) throw new HypervisorError('BUSY', `disk ${name}: already in active block job`);
  disk.copyFailure = undefined;
  // As real ones do, this one accepts a target that is too small, and ends the copy without a word.
  if (volume.size >= disk.bytes.size) disk.copy = { to, done: 0, total: disk.bytes.size };
}

/** The layers below its volume are read until it has all. */
export function beginPull(host: FakeHost, id: string, name: string, to: string): void {
  const machine = machineOf(host, id);
  const disk = machine.disks.get(name)!;
  if (machine.power !== 'on') throw new HypervisorError('FAILED', `${machine.name} is off`);
  if (disk.copy) throw new HypervisorError('BUSY', `disk ${name}: already in active block job`);
  machine.isPulled = true;
  Object.assign(disk, {
    copyFailure: undefined,
    copy: { to, done: 0, total: disk.bytes.size, isPull: true },
  });
}

/** Time passes: a copy goes on, and ends where its source does not answer. */
export function advance(host: FakeHost, id: string, name: string): void {
  const disk = machineOf(host, id).disks.get(name)!;
  if (!disk.copy) return;
  if (answers(host, disk)) {
    const { done, total } = disk.copy;
    disk.copy.done = Math.min(total, done + Math.ceil(total / PARTS));
    if (disk.copy.done < total || !disk.copy.isPull) return;
    // What it is on has all: nothing is below it.
    Object.assign(disk, { layers: [disk.layers[0]!], copy: undefined });
    announce(host, { kind: 'machine', id });
    return;
  }
  disk.copy = undefined;
  disk.copyFailure = `${disk.layers.join(' over ')} does not answer`;
}

/** To volumes that hold all that it has. */
export function switchTo(host: FakeHost, id: string, to: readonly ReservedDisk[]): void {
  const machine = machineOf(host, id);
  if (machine.power !== 'off') throw new HypervisorError('BUSY', `machine ${machine.name} runs`);
  for (const { name, source } of to) {
    const volume = host.volumes.get(source);
    if (!volume) throw new HypervisorError('NOT_FOUND', `there is no volume ${source}`);
    Object.assign(machine.disks.get(name)!, { bytes: volume.bytes, layers: [source] });
  }
  announce(host, { kind: 'machine', id });
}

export function pivotDisk(host: FakeHost, id: string, name: string): void {
  const disk = machineOf(host, id).disks.get(name)!;
  const { copy } = disk;
  if (!copy) throw new HypervisorError('FAILED', `disk ${name}: no active block job`);
  if (copy.done < copy.total) throw new HypervisorError('BUSY', `disk ${name}: not ready yet`);
  const { bytes } = host.volumes.get(copy.to)!;
  copyAll(disk.bytes, bytes);
  Object.assign(disk, { bytes, layers: [copy.to], copy: undefined });
  announce(host, { kind: 'machine', id });
}

/** They are the machine's from now on. */
export function keepFiles(host: FakeHost, session: string): void {
  for (const [path, file] of host.placedFiles) {
    if (file.session === session) host.placedFiles.set(path, { ...file, session: '' });
  }
}
