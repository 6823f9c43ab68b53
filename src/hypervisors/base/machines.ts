import type { MachineDescription, PointFileKind } from '../../formats/store/catalog/machine.ts';

/** By which the host knows it, whatever its name: a UUID where it has one. */
export type MachineId = string;

export interface MachineSummary {
  readonly id: MachineId;
  readonly name: string;
  readonly power: MachinePower;
}

/** `saved`: it is off, and its host keeps its memory, from which it goes on when it is started. */
export type MachinePower = 'on' | 'off' | 'saved' | 'paused' | 'suspended' | 'unknown';

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
