import type { MachineId } from '../../src/hypervisors/base/machines.ts';
import type { ServedDisk } from '../../src/hypervisors/base/run-driver.ts';
import type { TestHost } from './rig.ts';

/** A host that runs machines of sessions, as the conformance suite sees it. */
export interface RunTestHost extends TestHost {
  /** With space for all; and one that has none. */
  readonly pool: string;
  readonly fullPool: string;
  readonly network: string;
  /** What a recovery point has of its own words for a machine with these disks and that card; undefined: nothing. */
  readonly definition?: ((disks: readonly string[], mac: string) => Uint8Array) | undefined;
  /** Disks of a session, as Holdfast serves them. */
  serve(session: string, disks: Readonly<Record<string, Uint8Array>>): Promise<ServedSession>;
  /** All that is marked as a session's, of any: machines, disks, files, what is shown. */
  sessionTraces(): Promise<readonly string[]>;
  /** Disks in pools, marked or not. */
  poolDisks(): Promise<readonly string[]>;
  /** A machine that a driver has made there. */
  made(id: MachineId): Promise<MadeTestMachine>;
}

export interface ServedSession {
  readonly disks: readonly ServedDisk[];
  /** What Holdfast holds by now. */
  contents(disk: string): Promise<Uint8Array>;
  setUp(isUp: boolean): Promise<void>;
}

export interface MadeTestMachine {
  /** As the guest; where the disk does not answer, the machine stops. */
  write(disk: string, offset: number, bytes: Uint8Array): Promise<void>;
  contents(disk: string): Promise<Uint8Array>;
  /** By a person, behind our back. */
  pause(): Promise<void>;
  start(): Promise<void>;
  shutDown(): Promise<void>;
  undefine(): Promise<void>;
  /** An external snapshot: a new layer over the disk. */
  addLayer(disk: string): Promise<void>;
  /** To a disk of the host that we did not reserve. */
  moveElsewhere(disk: string): Promise<void>;
}
