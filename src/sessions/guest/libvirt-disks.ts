import type { MachineDescription } from '../../formats/store/catalog/machine.ts';
import { type PlacedDisk, placedDisks, type Subject } from './session-machine.ts';

/* Where the disks of a session are in a machine of libvirt's: bus and name. */

export interface TargetDisk extends PlacedDisk {
  readonly target: string;
  readonly on: Bus;
}

export type Bus = 'virtio' | 'scsi' | 'sata' | 'ide' | 'usb';
const PREFIXES = { virtio: 'vd', scsi: 'sd', sata: 'sd', usb: 'sd', ide: 'hd' } as const;

/** Buses that QEMU lacks here become SATA, for which every system has a driver. */
function busOf({ bus }: PlacedDisk, q35: boolean): Bus {
  if (bus === undefined) return 'virtio';
  if (bus === 'ide') return q35 ? 'sata' : 'ide';
  return bus === 'virtio' || bus === 'scsi' || bus === 'usb' ? bus : 'sata';
}

/** A disk keeps its name where libvirt takes it. */
export function targetsOf(
  session: Subject,
  machine: MachineDescription | undefined,
): readonly TargetDisk[] {
  const disks = placedDisks(session, machine);
  const q35 = isQ35(machine);
  const used = new Set<string>();
  const fits = (name: string, bus: Bus): boolean =>
    new RegExp(`^${PREFIXES[bus]}[a-z]{1,2}$`).test(name) && !used.has(name);
  const kept = disks.map((disk) => {
    const on = busOf(disk, q35);
    const target = fits(disk.name, on) ? disk.name : undefined;
    if (target !== undefined) used.add(target);
    return { ...disk, on, target };
  });
  return kept.map((disk) => {
    if (disk.target !== undefined) return { ...disk, target: disk.target };
    let number = 0;
    while (used.has(PREFIXES[disk.on] + letters(number))) number++;
    const target = PREFIXES[disk.on] + letters(number);
    used.add(target);
    return { ...disk, target };
  });
}

/** 0: a, 25: z, 26: aa. */
function letters(number: number): string {
  const last = String.fromCharCode(97 + (number % 26));
  return number < 26 ? last : letters(Math.floor(number / 26) - 1) + last;
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

/** A model of QEMU's that other hosts with QEMU have too, at this version or a later one. */
const QEMU_MODEL = /^(pc|q35|virt|pc-(i440fx|q35)-[\w.]+|virt-[\w.]+)$/;

export function modelOf(machine: MachineDescription): string | undefined {
  const { machineType = '', firmware, arch } = machine;
  if (QEMU_MODEL.test(machineType)) return machineType;
  if (arch === 'aarch64') return 'virt';
  return firmware.kind === 'uefi' ? 'q35' : undefined;
}

export function isQ35(machine: MachineDescription | undefined): boolean {
  return machine !== undefined && (modelOf(machine) ?? '').includes('q35');
}
