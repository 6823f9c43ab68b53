import type { BlockDevice } from '../../block/block-device.ts';
import type {
  Consistency,
  ConsistencyLevel,
  SectorBytes,
  Tracking,
} from '../../formats/store/catalog/machine.ts';
import type { Finding } from './finding.ts';
import type { DescribedMachine, MachineId } from './machines.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/** Consistent moments of all disks of a machine, readable, with what has changed since an earlier one. */
export interface BackupDriver {
  /** What stands in the way, machine and disks; has no effects. */
  check(id: MachineId, wish: BackupWish, signal: AbortSignal): Promise<readonly Finding[]>;
  /**
   * Begins one. `since`: what the machine's newest recovery point notes; disks whose changes the host cannot count
   * from its moment, or from that of its own `since`, come without `changed`, and say why. `since` counts as before
   * until `accept`: a backup that was not published is begun again from the same point. Rejects BUSY if another backup
   * runs there, UNSUPPORTED if there is less consistency than the wish allows, and NOT_FOUND for a machine or a wished
   * disk that is not there. A rejected `begin` leaves whatever it could still reach as it was: also a backup that made
   * it BUSY, whose ever. No single call that fails leaves a guest frozen: a thaw is tried again.
   */
  begin(
    id: MachineId,
    wish: BackupWish,
    since: Tracking | undefined,
    options: BeginOptions,
  ): Promise<MachineSnapshot>;
  /**
   * Ends and removes what earlier attempts have left: everything with our mark, except what `keep` names. Returns in
   * words what that was. Thaws a guest that an attempt left frozen. For when no backup of ours runs there. A machine
   * that is gone has nothing left.
   */
  tidy(id: MachineId, keep: readonly Tracking[], signal: AbortSignal): Promise<readonly string[]>;
}

export interface BackupWish {
  /** Names of the only disks to read; undefined: all that can be. */
  readonly only: readonly string[] | undefined;
  /** Names of disks not to read. */
  readonly exclude: readonly string[];
  /**
   * The state to bring the disks into. A machine that is off is always `off`, which is not less; one whose memory is
   * saved is `crash`.
   */
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
 * A moment of all disks. It lasts until it is disposed of, which ends the host's job or snapshot, and unless `accept`
 * was called also removes what the next backup would count from. Disposing never rejects: what it could not do is
 * reported by `onNotice`, and done by the next `tidy`.
 */
export interface MachineSnapshot extends AsyncDisposable {
  readonly consistency: Consistency;
  /**
   * What to note on the recovery point, whose ID it has, so that the next counts from it; undefined: none can. With
   * `since` the next counts from the moment of that earlier one.
   */
  readonly tracking: Tracking | undefined;
  /** Those that are read. The rest is `excluded` in the description. */
  readonly disks: readonly SnapshotDisk[];
  /** The machine at that moment. */
  readonly described: DescribedMachine;
  /**
   * Called once all is read, right before the recovery point is published: resolves if what was read is still of that
   * moment. Rejects HypervisorError, and nothing may be published, if the host's job has ended or the machine was
   * started or turned off in the middle, or if the host cannot be asked.
   */
  confirm(): Promise<void>;
  /**
   * Called once the recovery point is published: the next counts from it, and what the one before needed is removed.
   * If that rejects, the recovery point counts nevertheless, and the next `tidy` removes.
   */
  accept(): Promise<void>;
}

export interface SnapshotDisk {
  readonly name: string;
  readonly device: BlockDevice;
  readonly sectorBytes: SectorBytes;
  /** For people, and for the recovery point: where it is on the host. */
  readonly where: string;
  /**
   * What may have changed since then, in bytes, ascending, within the disk; undefined: not known, for the reason `why`.
   * What lies beyond the size that the disk had then may be missing: all of that counts as changed.
   */
  readonly changed: readonly ByteRange[] | undefined;
  /** Undefined if changes are known, or were not asked for. */
  readonly why: string | undefined;
}

/** What can be counted of one disk. */
export interface DiskTracking {
  /** The checkpoint or bitmap from which its changes are counted; undefined: from none, for the reason `why`. */
  readonly since: string | undefined;
  readonly why: string | undefined;
  /** Whether the next backup can count from this one. */
  readonly isTracked: boolean;
}
