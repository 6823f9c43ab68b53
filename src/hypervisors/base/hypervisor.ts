import type { HypervisorKind } from '../../formats/store/catalog/machine.ts';
import type { BackupDriver } from './backup-driver.ts';
import type { Finding } from './finding.ts';
import type { GuestFiles } from './guest-files.ts';
import type { DescribedMachine, MachineId, MachineSummary } from './machines.ts';
import type { RestoreDriver } from './restore-driver.ts';
import type { RunDriver } from './run-driver.ts';

/*
 * The contract of a driver. The hypervisor is the truth: what exists is what it says exists, whatever we have noted.
 * Every call can be repeated after an interruption: what it made carries our mark, and is found by mark and UUID.
 * Nothing without our mark is ever stopped, changed or removed. All calls reject with HypervisorError, and only with
 * that, or with the reason of their signal once it is aborted. Devices reject BlockError, as all devices do. Each
 * driver passes test/hypervisors/conformance.ts.
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
  /** Undefined: this kind of hypervisor, or this release of Holdfast for it, runs no recovery points. */
  readonly run: RunDriver | undefined;
  /** Undefined: nothing is written back to this kind of hypervisor by this release. */
  readonly restore: RestoreDriver | undefined;
  /** Undefined: it brings no files into guests. */
  readonly guests: GuestFiles | undefined;
}

/** What each driver is opened with, besides an address and credentials. */
export interface HypervisorOptions {
  /** The name of the hypervisor in Holdfast. */
  readonly name: string;
  /**
   * Whose backups these are: part of the mark of everything that is made on the host. Two stores that back up one
   * machine do not remove each other's. A driver may take only its beginning.
   */
  readonly owner: string;
}

export interface HypervisorFacts {
  /** "QEMU 7.2.22, libvirt 9.0.0". */
  readonly product: string;
  /** The host's own name. */
  readonly host: string;
}
