import type { BlockDevice } from '../../block/block-device.ts';
import type {
  Consistency,
  ConsistencyLevel,
  HypervisorKind,
  MachineDescription,
  PointFileKind,
  SectorBytes,
  Tracking,
} from '../../formats/store/catalog/machine.ts';
import type { Finding } from './finding.ts';

/*
 * The contract of a driver. The hypervisor is the truth: what exists is what it says exists, whatever we have noted.
 * Every call can be repeated after an interruption: what it made carries our mark, and is found by mark and UUID.
 * Nothing without our mark is ever stopped, changed or removed. All calls reject with HypervisorError, and only with
 * that; each driver passes test/hypervisors/conformance.ts.
 */

/** A connection to a managed host. Disposing it ends what was opened here, and leaves the host's machines alone. */
export interface Hypervisor extends AsyncDisposable {
  readonly kind: HypervisorKind;
  readonly facts: HypervisorFacts;
  /** All machines there, in the order of their names. Quick also for a thousand. */
  machines(signal: AbortSignal): Promise<readonly MachineSummary[]>;
  /** Rejects NOT_FOUND. */
  describe(id: MachineId, signal: AbortSignal): Promise<DescribedMachine>;
  /** What a backup of any machine of this host needs; a machine's own are found by `backup.check`. */
  check(signal: AbortSignal): Promise<readonly Finding[]>;
  readonly backup: BackupDriver;
}

/** By which the host knows it, whatever its name: a UUID where it has one. */
export type MachineId = string;

export interface HypervisorFacts {
  /** "QEMU 7.2.22, libvirt 9.0.0". */
  readonly product: string;
  /** The host's own name. */
  readonly host: string;
}

export interface MachineSummary {
  readonly id: MachineId;
  readonly name: string;
  readonly power: MachinePower;
}

export type MachinePower = 'on' | 'off' | 'paused' | 'suspended' | 'unknown';

export interface DescribedMachine {
  readonly machine: MachineDescription;
  /** Its definition, variables of its firmware and so on. */
  readonly files: readonly MachineFile[];
}

export interface MachineFile {
  readonly name: string;
  readonly kind: PointFileKind;
  /** Read when it is asked for: from the host. */
  read(signal: AbortSignal): Promise<Uint8Array>;
}

/** Consistent moments of all disks of a machine, readable, with what has changed since an earlier one. */
export interface BackupDriver {
  /** What stands in the way, machine and disks; has no effects. */
  check(id: MachineId, wish: BackupWish, signal: AbortSignal): Promise<readonly Finding[]>;
  /**
   * Begins one. `since`: what the recovery point notes on which the backup builds; disks whose changes the host cannot
   * count from there come without `changed`, and say why. Rejects BUSY if another backup runs there, and UNSUPPORTED
   * if there is less consistency than the wish allows.
   */
  begin(
    id: MachineId,
    wish: BackupWish,
    since: Tracking | undefined,
    options: BeginOptions,
  ): Promise<MachineSnapshot>;
  /**
   * Ends and removes what earlier attempts have left: everything with our mark, except what `keep` names. Returns in
   * words what that was. Thaws a guest that an attempt left frozen.
   */
  tidy(id: MachineId, keep: readonly Tracking[], signal: AbortSignal): Promise<readonly string[]>;
}

export interface BackupWish {
  /** Names of the only disks to read; undefined: all that can be. */
  readonly only: readonly string[] | undefined;
  /** Names of disks not to read. */
  readonly exclude: readonly string[];
  /** The state to bring the disks into. */
  readonly consistency: ConsistencyLevel;
  /** Whether less is accepted, if it is said why. */
  readonly fallBack: boolean;
}

export interface BeginOptions {
  /** The ID of the recovery point to be made; all that is made on the host is named by it. */
  readonly point: string;
  readonly signal: AbortSignal;
  /** Something that the person should know, while it goes on. */
  readonly onNotice: (message: string) => void;
}

/**
 * A moment of all disks. It lasts until it is disposed of, which ends the host's job or snapshot; if that cannot be
 * done any longer, the next `tidy` does it.
 */
export interface MachineSnapshot extends AsyncDisposable {
  readonly consistency: Consistency;
  /** What to note on the recovery point, so that the next one can count from it; undefined: nothing can. */
  readonly tracking: Tracking | undefined;
  /** Those that are read. The rest is `excluded` in the description. */
  readonly disks: readonly SnapshotDisk[];
  /** The machine at that moment. */
  readonly described: DescribedMachine;
  /** Called once the recovery point is published: the next counts from it, and what the one before needed may go. */
  accept(): Promise<void>;
}

export interface SnapshotDisk {
  readonly name: string;
  readonly device: BlockDevice;
  readonly sectorBytes: SectorBytes;
  /** For people, and for the recovery point: where it is on the host. */
  readonly where: string;
  /** What may have changed since then, in bytes, ascending; undefined: not known, for the reason `why`. */
  readonly changed: readonly ChangedRange[] | undefined;
  readonly why: string | undefined;
}

export interface ChangedRange {
  readonly offset: number;
  readonly length: number;
}
