import type { BlockDevice } from '../../../block/block-device.ts';
import { dataIn } from '../../../ingest/restore/restore-limits.ts';
import { MiB } from '../../../lib/sizes.ts';

/** How long a machine is off while its disks are written to its hypervisor, and read back. */
export interface Downtime {
  /** To write, and to read back. */
  readonly bytes: number;
  readonly seconds: number;
  /** In bytes per second. */
  readonly rate: number;
  /** Whether disks were written there at that rate before; else it is assumed. */
  readonly isMeasured: boolean;
}

/** How fast disks were written to each hypervisor and read back, for as long as the process runs. */
export interface WriteRates {
  wrote(hypervisor: string, bytes: number, ms: number): void;
  /** In bytes per second; undefined: not known. */
  of(hypervisor: string): number | undefined;
}

/** A disk of a gigabit network, written and read back; what is on this host is faster. */
const ASSUMED_RATE = 40 * MiB;
/** With less, what is measured is how long the calls take. */
const MEASURED_MIN = 16 * MiB;

export function writeRates(): WriteRates {
  const rates = new Map<string, number>();
  return {
    wrote(hypervisor, bytes, ms) {
      if (bytes >= MEASURED_MIN && ms > 0) rates.set(hypervisor, (bytes * 1000) / ms);
    },
    of: (hypervisor) => rates.get(hypervisor),
  };
}

export async function expectedDowntime(
  disks: readonly BlockDevice[],
  measured: number | undefined,
  signal: AbortSignal,
): Promise<Downtime> {
  let bytes = 0;
  for (const disk of disks) bytes += await dataIn(disk, signal);
  const rate = Math.round(measured ?? ASSUMED_RATE);
  return { bytes, rate, seconds: Math.ceil(bytes / rate), isMeasured: measured !== undefined };
}
