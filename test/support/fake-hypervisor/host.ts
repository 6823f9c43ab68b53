import type { FakeGuest } from '../fake-guest.ts';
import type { DescribedDisk, Exclusion } from '../../../src/formats/store/catalog/machine.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { MachinePower } from '../../../src/hypervisors/base/machines.ts';
import type { HypervisorEvent } from '../../../src/hypervisors/base/run-driver.ts';
import { type Bitmap, type FrozenDisk, type HostDisk, hostDisk } from './host-disk.ts';

/*
 * A host in memory, as it is whatever its clients do: machines with disks that guests write to, tokens from which
 * changes are counted, one job at a time for each machine. Its functions are what clients call (client.ts), one effect
 * each; what happens on their way is wire.ts.
 */

export interface FakeMachine {
  readonly id: string;
  name: string;
  power: Exclude<MachinePower, 'saved'>;
  /** Which session made it. */
  session: string | undefined;
  /** Which session has renamed it, and from what. */
  aside: { readonly session: string; readonly name: string } | undefined;
  /** It stopped because a disk did not answer. */
  hasIoError: boolean;
  /** It stopped, as its pool has no space left. */
  isFull: boolean;
  /** Its disks take what they lack, one after the other. */
  isPulled: boolean;
  autostart: boolean;
  hasAgent: boolean;
  /** What its agent sees. */
  readonly guest: FakeGuest;
  /** By whom its file systems are frozen. */
  frozenBy: string | undefined;
  readonly disks: Map<string, FakeDisk>;
  readonly files: Map<string, Uint8Array>;
  /** In the order in which they were made. */
  readonly tokens: Map<string, Token>;
  readonly internalSnapshots: string[];
  job: Job | undefined;
}

export interface FakeDisk {
  bytes: HostDisk;
  /** Sources, as its definition names them, the one on top first. */
  layers: readonly string[];
  copy: Copy | undefined;
  /** How its last copy ended. */
  copyFailure: string | undefined;
  readonly bus: DescribedDisk['bus'];
  /** Why it cannot be read by a backup. */
  readonly excluded: Exclusion | undefined;
  /** Its format keeps no bitmaps. */
  readonly isRaw: boolean;
}

/** A disk that is copied to a volume while its machine runs. */
interface Copy {
  readonly to: string;
  done: number;
  readonly total: number;
  /** Into the uppermost layer, from those below it. */
  readonly isPull?: boolean;
}

interface Token {
  /** By disk. One that was taken out and put in again has none. */
  readonly bitmaps: Map<FakeDisk, Bitmap>;
  /** After a power loss it is listed, and counts nothing. */
  isLost: boolean;
}

interface Job {
  readonly name: string;
  readonly disks: ReadonlyMap<string, JobDisk>;
}

export interface JobDisk {
  readonly frozen: FrozenDisk;
  /** Code LOST: it cannot be counted. */
  readonly changed: Changes | HypervisorError | undefined;
}

type Changes = readonly { readonly offset: number; readonly length: number }[];

interface ServedDisk {
  readonly bytes: HostDisk;
  isUp: boolean;
  /** It is read, and writes to it are refused. */
  isFenced?: boolean;
}

export interface FakeHost {
  readonly machines: Map<string, FakeMachine>;
  isUp: boolean;
  credentials: string;
  identity: string;
  /** For what guests write over while a job runs, in bytes; all jobs together. */
  scratchCapacity: number;
  scratchUsed: number;
  readonly pools: Map<string, number>;
  readonly networks: Set<string>;
  readonly volumes: Map<string, Volume>;
  /** By their paths. */
  readonly placedFiles: Map<string, { readonly session: string; readonly bytes: Uint8Array }>;
  /** What sessions have made known, each with its disks' sources. */
  readonly shown: Map<string, readonly string[]>;
  /** What answers, by URL: not the host's, but what it can reach. */
  readonly served: Map<string, ServedDisk>;
  readonly watchers: Set<(event: HypervisorEvent) => void>;
}

interface Volume {
  readonly pool: string;
  readonly size: number;
  readonly bytes: HostDisk;
  /** Which session has reserved it. */
  session: string | undefined;
}

export function fakeHost(): FakeHost {
  return {
    machines: new Map(),
    ...{ isUp: true, credentials: 'secret', identity: 'key 1' },
    ...{ scratchCapacity: 2 ** 30, scratchUsed: 0 },
    ...{ pools: new Map(), networks: new Set(), volumes: new Map(), placedFiles: new Map() },
    ...{ shown: new Map(), served: new Map(), watchers: new Set() },
  };
}

export function announce(host: FakeHost, event: HypervisorEvent): void {
  for (const watcher of host.watchers) watcher(event);
}

export function machineOf(host: FakeHost, id: string): FakeMachine {
  const machine = host.machines.get(id);
  if (machine) return machine;
  throw new HypervisorError('NOT_FOUND', `fake host "fake1" has no machine ${id}`);
}

export interface AddedDisk {
  readonly name: string;
  readonly size: number;
  readonly bus?: DescribedDisk['bus'] | undefined;
  readonly excluded?: Exclusion | undefined;
  readonly isRaw?: boolean | undefined;
}

export function addDisk(machine: FakeMachine, { name, size, bus, excluded, isRaw }: AddedDisk) {
  machine.disks.set(name, {
    ...{ bytes: hostDisk(size), bus: bus ?? 'virtio' },
    ...{ layers: [`/fake/${name}`], copy: undefined, copyFailure: undefined },
    ...{ excluded, isRaw: isRaw ?? false },
  });
}

export interface Begun {
  readonly job: string;
  readonly disks: readonly string[];
  /** Name of the token to make in the same moment. */
  readonly token: string | undefined;
  /** Name of the token to count from. */
  readonly since: string | undefined;
}

/** All disks at one moment. */
export function beginJob(host: FakeHost, id: string, { job, disks, token, since }: Begun): void {
  const machine = machineOf(host, id);
  if (machine.job) {
    throw new HypervisorError('BUSY', `machine ${machine.name}: job ${machine.job.name} runs`);
  }
  if (token !== undefined && machine.tokens.has(token)) {
    throw new HypervisorError('EXISTS', `machine ${machine.name}: token ${token} exists`);
  }
  const jobDisks = new Map<string, JobDisk>();
  for (const name of disks) {
    const disk = machine.disks.get(name);
    if (!disk) throw new HypervisorError('NOT_FOUND', `machine ${machine.name}: no disk ${name}`);
    const changed = since === undefined ? undefined : changesOf(machine, since, disk);
    jobDisks.set(name, { frozen: freeze(host, disk), changed });
  }
  machine.job = { name: job, disks: jobDisks };
  if (token !== undefined) machine.tokens.set(token, tokenFor(machine, disks));
}

function freeze(host: FakeHost, disk: FakeDisk): FrozenDisk {
  return disk.bytes.freeze((bytes) => {
    if (host.scratchUsed + bytes > host.scratchCapacity) return false;
    host.scratchUsed += bytes;
    return true;
  });
}

function tokenFor(machine: FakeMachine, names: readonly string[]): Token {
  const tracked = names.map((name) => machine.disks.get(name)!).filter(({ isRaw }) => !isRaw);
  return { bitmaps: new Map(tracked.map((disk) => [disk, disk.bytes.track()])), isLost: false };
}

function changesOf(machine: FakeMachine, since: string, disk: FakeDisk) {
  const token = machine.tokens.get(since);
  const bitmap = token?.bitmaps.get(disk);
  function lost(why: string): HypervisorError {
    return new HypervisorError('LOST', `machine ${machine.name}: ${why}`);
  }
  if (disk.isRaw) return lost('its format keeps no list of changes');
  if (!token) return lost(`the host does not know token ${since}`);
  if (token.isLost) return lost(`the bitmap of token ${since} was lost, as after a power cut`);
  return bitmap?.ranges() ?? lost(`the disk is newer than token ${since}`);
}

export function freezeGuest(host: FakeHost, id: string, by: string): void {
  const machine = machineOf(host, id);
  if (machine.frozenBy !== undefined) {
    throw new HypervisorError('BUSY', `machine ${machine.name}: frozen by ${machine.frozenBy}`);
  }
  machine.frozenBy = by;
}

export function endJob(host: FakeHost, id: string, name: string): void {
  const machine = machineOf(host, id);
  if (machine.job?.name !== name) {
    throw new HypervisorError('NOT_FOUND', `machine ${machine.name}: no job ${name}`);
  }
  for (const { frozen } of machine.job.disks.values()) {
    host.scratchUsed -= frozen.kept;
    frozen.end();
  }
  machine.job = undefined;
}

export function removeToken(host: FakeHost, id: string, name: string): void {
  const machine = machineOf(host, id);
  const token = machine.tokens.get(name);
  if (!token) {
    throw new HypervisorError('NOT_FOUND', `machine ${machine.name}: no token ${name}`);
  }
  for (const bitmap of token.bitmaps.values()) bitmap.end();
  machine.tokens.delete(name);
}

export function jobDisk(host: FakeHost, id: string, job: string, disk: string): JobDisk {
  const machine = machineOf(host, id);
  const found = machine.job?.name === job ? machine.job.disks.get(disk) : undefined;
  if (!found) throw new HypervisorError('NOT_FOUND', `machine ${machine.name}: no job ${job}`);
  if (found.frozen.isBroken) {
    throw new HypervisorError('NO_SPACE', `machine ${machine.name}: its scratch space is full`);
  }
  return found;
}
