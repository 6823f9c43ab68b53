import type {
  DescribedDisk,
  DescribedNic,
  MachineDescription,
} from '../../../formats/store/catalog/machine.ts';
import { diskIds } from '../../base/disk-ids.ts';
import type { ShownDisk } from '../../base/run-driver.ts';
import { tpmVersion } from '../../base/tpm-version.ts';
import { element, type XmlElement } from '../../base/xml.ts';

/* A machine that another hypervisor has described, or of which libvirt's own definition was not kept. */

const PREFIXES = { virtio: 'vd', scsi: 'sd', sata: 'sd', usb: 'sd', ide: 'hd' } as const;
export type Bus = keyof typeof PREFIXES;

const CARDS = new Set(['virtio', 'e1000', 'e1000e', 'rtl8139', 'vmxnet3', 'ne2k_pci', 'pcnet']);
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** Its disks are those of `shown`, in that order, without sources. */
export function plainMachine(machine: MachineDescription, shown: readonly ShownDisk[]): XmlElement {
  const { cpu, memory, firmware } = machine;
  const isSecure = firmware.kind === 'uefi' && firmware.secureBoot;
  const bytes = String(Math.max(1, Math.floor(memory.bytes / 1024)));
  const disks = disksOf(machine, shown);
  return element(
    'domain',
    {},
    element('memory', { unit: 'KiB' }, bytes),
    element('vcpu', {}, String(cpu.count)),
    processor(machine),
    element('os', {}, element('type', { arch: machine.arch, machine: plainType(machine) }, 'hvm')),
    element(
      'features',
      {},
      element('acpi', {}),
      element('apic', {}),
      isSecure ? element('smm', { state: 'on' }) : undefined,
    ),
    element('clock', { offset: machine.clock }),
    element(
      'devices',
      {},
      ...(disks.some(({ bus }) => bus === 'scsi')
        ? [element('controller', { type: 'scsi', index: '0', model: 'virtio-scsi' })]
        : []),
      ...disks.map(({ xml }) => xml),
      ...machine.nics.map(cardOf),
      machine.tpm &&
        element(
          'tpm',
          { model: tpmVersion(machine.tpm) === '2.0' ? 'tpm-crb' : 'tpm-tis' },
          element('backend', { type: 'emulator', version: tpmVersion(machine.tpm) }),
        ),
      element('graphics', { type: 'vnc', autoport: 'yes', listen: '127.0.0.1' }),
      element('video', {}, element('model', { type: 'vga' })),
    ),
  );
}

/** QEMU's own names of machines; others have no meaning here. */
const QEMU_TYPE = /^(pc|q35|virt|pc-(i440fx|q35)-[\w.]+|virt-[\w.]+)$/;

export function plainType({
  machineType = '',
  firmware,
  arch,
}: MachineDescription): string | undefined {
  if (QEMU_TYPE.test(machineType)) return machineType;
  if (arch === 'aarch64') return 'virt';
  return firmware.kind === 'uefi' ? 'q35' : undefined;
}

function processor({ cpu }: MachineDescription): XmlElement | undefined {
  const { count, sockets, cores, threads, model } = cpu;
  const hasTopology = sockets && cores && threads && sockets * cores * threads === count;
  const mode = /^host-(passthrough|model)$/.test(model ?? '') ? model : undefined;
  if (!hasTopology && mode === undefined) return undefined;
  const parts = { sockets: String(sockets), cores: String(cores), threads: String(threads) };
  return element('cpu', { mode }, hasTopology ? element('topology', parts) : undefined);
}

function disksOf(machine: MachineDescription, shown: readonly ShownDisk[]) {
  const isQ35 = plainType(machine)?.includes('q35') ?? false;
  const used = new Set<string>();
  const boots = machine.boot.filter((it) => it.startsWith('disk:'));
  return shown.map(({ name }) => {
    const described = machine.disks.find((it) => it.name === name);
    const bus = busOf(described, isQ35);
    const target = targetFor(name, bus, used);
    used.add(target);
    const order = boots.indexOf(`disk:${name}`);
    const { serial, wwn } = diskIds(described, bus);
    const sector = described?.sectorBytes === 4096 ? '4096' : undefined;
    const xml = element(
      'disk',
      { type: 'network', device: 'disk' },
      element('target', { dev: target, bus }),
      order < 0 ? undefined : element('boot', { order: String(order + 1) }),
      sector && element('blockio', { logical_block_size: sector, physical_block_size: sector }),
      serial === undefined ? undefined : element('serial', {}, serial),
      wwn === undefined ? undefined : element('wwn', {}, wwn),
    );
    return { xml, bus };
  });
}

/** Buses that QEMU lacks become SATA, for which every system has a driver. */
function busOf(disk: DescribedDisk | undefined, isQ35: boolean): Bus {
  const bus = disk?.bus ?? 'virtio';
  if (bus === 'ide') return isQ35 ? 'sata' : 'ide';
  return bus === 'virtio' || bus === 'scsi' || bus === 'usb' ? bus : 'sata';
}

/** A disk keeps its name where libvirt takes it. */
export function targetFor(name: string, bus: Bus, used: ReadonlySet<string>): string {
  if (new RegExp(`^${PREFIXES[bus]}[a-z]{1,2}$`).test(name) && !used.has(name)) return name;
  let number = 0;
  while (used.has(PREFIXES[bus] + letters(number))) number++;
  return PREFIXES[bus] + letters(number);
}

/** 0: a, 25: z, 26: aa. */
function letters(number: number): string {
  const last = String.fromCharCode(97 + (number % 26));
  return number < 26 ? last : letters(Math.floor(number / 26) - 1) + last;
}

function cardOf({ mac, model, connected }: DescribedNic): XmlElement {
  return element(
    'interface',
    {},
    MAC.test(mac) ? element('mac', { address: mac }) : undefined,
    element('model', { type: CARDS.has(model) ? model : 'e1000e' }),
    connected ? undefined : element('link', { state: 'down' }),
  );
}
