import type { MachineDescription } from '../../formats/store/catalog/machine.ts';

/* What a machine of another hypervisor becomes in QEMU: its type, and the buses and names of its disks. */

const PREFIXES = { virtio: 'vd', scsi: 'sd', sata: 'sd', usb: 'sd', ide: 'hd' } as const;
export type Bus = keyof typeof PREFIXES;

/** A type of QEMU's that other hosts with QEMU have too, at this version or a later one. */
const QEMU_TYPE = /^(pc|q35|virt|pc-(i440fx|q35)-[\w.]+|virt-[\w.]+)$/;

/** Undefined: QEMU's default. */
export function qemuType({
  machineType = '',
  firmware,
  arch,
}: MachineDescription): string | undefined {
  if (QEMU_TYPE.test(machineType)) return machineType;
  if (arch === 'aarch64') return 'virt';
  return firmware.kind === 'uefi' ? 'q35' : undefined;
}

export function isQ35(machine: MachineDescription | undefined): boolean {
  return machine !== undefined && (qemuType(machine) ?? '').includes('q35');
}

/** Buses that QEMU lacks become SATA, for which every system has a driver. */
export function qemuBus(bus: string | undefined, onQ35: boolean): Bus {
  if (bus === undefined) return 'virtio';
  if (bus === 'ide') return onQ35 ? 'sata' : 'ide';
  return bus === 'virtio' || bus === 'scsi' || bus === 'usb' ? bus : 'sata';
}

/** Whether libvirt takes this name of a disk for its target. */
export function isTarget(name: string, bus: Bus): boolean {
  return new RegExp(`^${PREFIXES[bus]}[a-z]{1,2}$`).test(name);
}

/** The first that is free. */
export function freeTarget(bus: Bus, used: ReadonlySet<string>): string {
  let number = 0;
  while (used.has(PREFIXES[bus] + letters(number))) number++;
  return PREFIXES[bus] + letters(number);
}

/** 0: a, 25: z, 26: aa. */
function letters(number: number): string {
  const last = String.fromCharCode(97 + (number % 26));
  return number < 26 ? last : letters(Math.floor(number / 26) - 1) + last;
}
