import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import type { HypervisorErrorCode } from '../../src/hypervisors/base/hypervisor-error.ts';
import type { MachineId } from '../../src/hypervisors/base/machines.ts';

/*
 * A host with machines, as the conformance suite sees it from its own side: what guests do, what administrators do,
 * and what is there. A driver is tested by an implementation of this.
 */

export type Test = (name: string, body: () => Promise<void>) => unknown;

/** For drivers of real hosts. */
export interface SuiteOptions {
  /** What the host has no way to do: promises about that are not tested. */
  readonly cannot?: readonly (keyof TestHost | keyof TestMachine)[] | undefined;
  /** Something happens at each call of a backup, or only at each so many, to take less time. Default: 1. */
  readonly stride?: number | undefined;
  /** How many things happen in each life of a machine. Default: 60. */
  readonly events?: number | undefined;
  /** Whether the host knows machines that are off: they are listed, described and read. Default: yes. */
  readonly knowsOff?: boolean | undefined;
}

/** A fresh host without machines. */
export interface TestHost extends AsyncDisposable {
  connect(options?: Connecting): Promise<Hypervisor>;
  /** Makes a machine. */
  machine(made: MadeMachine): Promise<TestMachine>;
  setUp(isUp: boolean): Promise<void>;
  changeCredentials(): Promise<void>;
  changeIdentity(): Promise<void>;
}

export interface Connecting {
  /** Default: one and the same. */
  readonly owner?: string | undefined;
  /** Before each call to the host, counted from 1: what goes wrong with it. */
  readonly onCall?: OnCall | undefined;
}

export type OnCall = (
  name: string,
  count: number,
) => Mishap | undefined | Promise<Mishap | undefined>;

/** The call fails with that code; or the connection is cut for good before it has its effect, or after. */
export type Mishap = 'cut-before' | 'cut-after' | HypervisorErrorCode;

export interface MadeMachine {
  readonly name: string;
  /** Their sizes in bytes, by name. */
  readonly disks: Readonly<Record<string, number>>;
  /** Names of disks, besides, that no backup can read; any host may call a disk so. */
  readonly excluded?: readonly string[] | undefined;
  /** Default: yes. */
  readonly hasAgent?: boolean | undefined;
  /** Default: no, it runs. */
  readonly isOff?: boolean | undefined;
}

export interface TestMachine {
  readonly id: MachineId;
  /** As the guest. */
  write(disk: string, offset: number, bytes: Uint8Array): Promise<void>;
  /** What the guest sees now. */
  contents(disk: string): Promise<Uint8Array>;
  isFrozen(): Promise<boolean>;
  isRunning(): Promise<boolean>;
  /** All that lasts there and has to do with backups: checkpoints, jobs, scratch files; whose they are too. */
  traces(): Promise<readonly string[]>;
  shutDown(): Promise<void>;
  start(): Promise<void>;
  /** It is off. */
  rename(name: string): Promise<void>;
  /** Undefined and defined again: it is the same machine, and nothing on the host remembers its checkpoints. */
  redefine(): Promise<void>;
  undefine(): Promise<void>;
  addDisk(disk: string, size: number): Promise<void>;
  removeDisk(disk: string): Promise<void>;
  growDisk(disk: string, size: number): Promise<void>;
  /** As after a power loss of the host: checkpoints may be listed, and count nothing. It runs again. */
  loseTracking(): Promise<void>;
  makeInternalSnapshot(): Promise<void>;
  /** Another product's, which tracks changes. */
  addForeignCheckpoint(): Promise<void>;
  /** Another product's backup, which runs until it is disposed of. */
  runForeignJob(): Promise<AsyncDisposable>;
}
