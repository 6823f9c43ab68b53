import type { MachineDescription } from '../../formats/store/catalog/machine.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import type { Places } from '../../hypervisors/base/run-driver.ts';

/** What a decision about a run rests on: as the recovery point and the hypervisor say. */
export interface RunFacts {
  readonly machine: MachineDescription;
  /** Names of the disks in the recovery point. */
  readonly disks: readonly string[];
  /** The name of the hypervisor in Holdfast. */
  readonly hypervisor: string;
  readonly places: Places;
  readonly machines: readonly MachineSummary[];
  /** Machines that other sessions have there, or are about to have. */
  readonly taken: readonly TakenPlace[];
  /** One that no machine has. */
  readonly newUuid: string;
}

export interface TakenPlace {
  readonly session: string;
  readonly name: string;
  readonly uuid: string;
}
