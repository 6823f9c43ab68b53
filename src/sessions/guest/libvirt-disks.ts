import type { MachineDescription } from '../../formats/store/catalog/machine.ts';
import { type PlacedDisk, placedDisks, type Subject } from './session-machine.ts';
import {
  type Bus,
  freeTarget,
  isQ35,
  isTarget,
  qemuBus,
} from '../../hypervisors/base/disk-targets.ts';

/* Where the disks of a session are in a machine of libvirt's: bus and name. */

export interface TargetDisk extends PlacedDisk {
  readonly target: string;
  readonly on: Bus;
}

/** A disk keeps its name where libvirt takes it. */
export function targetsOf(
  session: Subject,
  machine: MachineDescription | undefined,
): readonly TargetDisk[] {
  const disks = placedDisks(session, machine);
  const q35 = isQ35(machine);
  const used = new Set<string>();
  const kept = disks.map((disk) => {
    const on = qemuBus(disk.bus, q35);
    const target = isTarget(disk.name, on) && !used.has(disk.name) ? disk.name : undefined;
    if (target !== undefined) used.add(target);
    return { ...disk, on, target };
  });
  return kept.map((disk) => {
    if (disk.target !== undefined) return { ...disk, target: disk.target };
    const target = freeTarget(disk.on, used);
    used.add(target);
    return { ...disk, target };
  });
}

/** By what hypervisors call them. */
const SCSI_MODELS: Readonly<Record<string, string>> = {
  buslogic: 'buslogic',
  lsilogic: 'lsilogic',
  lsisas1068: 'lsisas1068',
  lsisas1078: 'lsisas1078',
  pvscsi: 'vmpvscsi',
  'virtio-scsi': 'virtio-scsi',
  'virtio-scsi-pci': 'virtio-scsi',
  vmpvscsi: 'vmpvscsi',
};

/** One model for all: libvirt places the disks itself. Without it libvirt takes another than most guests know. */
export function scsiController(
  disks: readonly { readonly on: Bus; readonly model: string | undefined }[],
): string[] {
  const first = disks.find(({ on }) => on === 'scsi');
  if (!first) return [];
  const model = SCSI_MODELS[first.model ?? ''] ?? 'virtio-scsi';
  return [`<controller type='scsi' index='0' model='${model}'/>`];
}
