import type {
  DescribedDisk,
  DiskBus,
  MachineDescription,
} from '../../formats/store/catalog/machine.ts';
import type { SessionDisk, SessionRecord } from '../../formats/store/sessions/session.ts';

/* What a session's recovery point knows of its machine, for the configuration that hypervisors get. */

/** Undefined parts: the recovery point does not know them. */
export interface SessionMachine {
  readonly machine: MachineDescription | undefined;
  /** The variables of its UEFI firmware. */
  readonly variables: Uint8Array | undefined;
  /** The state of its TPM, as swtpm keeps it. */
  readonly tpmState: Uint8Array | undefined;
}

/** What is configured: a machine of a session, or one whose disks were restored. */
export type Subject = Pick<SessionRecord, 'id' | 'point' | 'machine' | 'disks'>;

/** A disk of a session with its place in the machine. */
export interface PlacedDisk extends SessionDisk {
  /** Undefined: nothing is known of it. */
  readonly bus: DiskBus | undefined;
  /** The model of its controller, as the hypervisor names it. */
  readonly model: string | undefined;
  /** As it was described; what a hypervisor takes of them: hypervisors/base/disk-ids.ts. */
  readonly ids: Pick<DescribedDisk, 'serial' | 'wwn'>;
}

/** In the order of controllers and units where these are known. */
export function placedDisks(
  { disks }: Pick<Subject, 'disks'>,
  machine: MachineDescription | undefined,
): readonly PlacedDisk[] {
  const described = new Map(machine?.disks.map((disk) => [disk.name, disk]));
  const rankOf = (name: string): number => {
    const controller = described.get(name)?.controller;
    return controller ? controller.index * UNITS + controller.unit : 0;
  };
  return disks
    .map((disk) => {
      const known = described.get(disk.name);
      const ids = { serial: known?.serial, wwn: known?.wwn };
      return { ...disk, bus: known?.bus, model: known?.controller?.model, ids };
    })
    .toSorted((a, b) => rankOf(a.name) - rankOf(b.name));
}

/** More than any controller has. */
const UNITS = 2 ** 20;

/** Disks from which it boots, in order; those that the session does not have are left out. */
export function bootDisks(
  { disks }: Pick<Subject, 'disks'>,
  machine: MachineDescription | undefined,
): readonly string[] {
  const names = (machine?.boot ?? []).flatMap((it) => /^disk:(.*)$/s.exec(it)?.[1] ?? []);
  return names.filter((name) => disks.some((disk) => disk.name === name));
}
