import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { RestoreDriver } from '../../hypervisors/base/restore-driver.ts';
import type { RunDriver } from '../../hypervisors/base/run-driver.ts';

/** A hypervisor to which machines are restored. */
export interface RestoreHost {
  /** Its name in Holdfast. */
  readonly name: string;
  readonly host: Hypervisor;
  readonly run: RunDriver;
  readonly restore: RestoreDriver;
}

/** Throws UNSUPPORTED. */
export function restoreHost(name: string, host: Hypervisor): RestoreHost {
  const { run, restore } = host;
  if (run && restore) return { name, host, run, restore };
  throw new HypervisorError(
    'UNSUPPORTED',
    `Holdfast cannot restore to hypervisors of this kind (${name}: ${host.kind}): restore the disks to files ` +
      '("holdfast restore images"), or run the machine from its backup ("holdfast recover")',
  );
}
