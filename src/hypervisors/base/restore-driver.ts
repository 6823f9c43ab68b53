import type { WritableBlockDevice } from '../../block/block-device.ts';
import type { SectorBytes } from '../../formats/store/catalog/machine.ts';
import type { Finding } from './finding.ts';
import type { MachineId } from './machines.ts';
import type { MachinePlan, ReservedDisk } from './run-driver.ts';

/*
 * Machines and single disks written back to a managed host. Disks are reserved first, and written by us; only then the
 * machine is defined, by one effect: before it there is no such machine, after it the machine is whole and no longer
 * ours. What a crash leaves are reserved disks and files with the restore's ID in their names, which `withdraw`
 * removes. Reserved disks, marks, places and machines that are set aside are those of RunDriver.
 */
export interface RestoreDriver {
  /** What stands in the way of a machine, whatever its disks are on; has no effects. */
  check(
    plan: MachinePlan & Pick<DisksPlan, 'disks'>,
    signal: AbortSignal,
  ): Promise<readonly Finding[]>;
  /** What stands in the way of these disks; has no effects. */
  checkDisks(disks: DisksPlan, signal: AbortSignal): Promise<readonly Finding[]>;
  /** Empty disks of exactly these sizes in the pool. Rejects NO_SPACE if the data does not fit, NOT_FOUND. */
  reserve(disks: DisksPlan, signal: AbortSignal): Promise<readonly ReservedDisk[]>;
  /**
   * A reserved disk to be written, once, all of it: what was on the medium before may still be there. `flush` ends it:
   * all is on the host's medium then, and can only be read. The caller disposes of it.
   */
  open(disk: ReservedDisk, signal: AbortSignal): Promise<WritableBlockDevice>;
  /** Defines the machine, off, on reserved disks. Rejects EXISTS if its name or UUID is a machine's. */
  define(
    plan: RestorePlan,
    disks: readonly ReservedDisk[],
    signal: AbortSignal,
  ): Promise<MachineId>;
  /** Whether it starts with the host. May be repeated. */
  setAutostart(id: MachineId, isOn: boolean, signal: AbortSignal): Promise<void>;
  /** Starts it; resolves also if it runs. */
  powerOn(id: MachineId, signal: AbortSignal): Promise<void>;
  /** What stands in the way of attaching a disk to a machine; has no effects. Rejects NOT_FOUND. */
  checkAttach(id: MachineId, signal: AbortSignal): Promise<readonly Finding[]>;
  /**
   * Makes a reserved disk a disk of the machine for good, at once if it runs, and answers how the machine names it.
   * May be repeated.
   */
  attach(id: MachineId, disk: AttachedDisk, signal: AbortSignal): Promise<string>;
  /**
   * Removes the disks that no machine uses, and, unless there is a machine with that UUID, the files that `define`
   * placed. May be repeated.
   */
  withdraw(restore: RestoreMark, signal: AbortSignal): Promise<void>;
}

export interface RestorePlan extends MachinePlan, DisksPlan {}

export interface DisksPlan {
  /** The ID of the restore: the mark. */
  readonly session: string;
  readonly pool: string;
  readonly disks: readonly RestoredDisk[];
}

export interface RestoredDisk {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** How many of these bytes are data: so much is needed where disks grow as they are written. */
  readonly data: number;
}

/** Without the serial number of the disk that it was: the machine may still have that one. */
export interface AttachedDisk extends ReservedDisk {
  readonly sectorBytes: SectorBytes;
}

export interface RestoreMark {
  readonly session: string;
  /** Undefined: `define` was never called, and what a host keeps under a UUID is not ours. */
  readonly uuid: string | undefined;
}
