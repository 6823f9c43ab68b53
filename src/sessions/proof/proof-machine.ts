import type { DescribedNic, MachineDescription } from '../../formats/store/catalog/machine.ts';
import type { SessionDisk } from '../../formats/store/sessions/session.ts';
import { diskIds } from '../../hypervisors/base/disk-ids.ts';
import { GiB, MiB } from '../../lib/sizes.ts';
import { processors } from '../../sys/process/processors.ts';
import { isQ35 } from '../../hypervisors/base/disk-targets.ts';
import { macOf } from '../guest/network-cards.ts';
import { bootDisks, type PlacedDisk, placedDisks } from '../guest/session-machine.ts';

/*
 * The machine that a recovery point describes, as arguments of this box's QEMU. Pure. It has no network but a private
 * one, in which only QEMU answers; what the box lacks is left out, and named.
 */

export interface ProofMachine {
  readonly args: readonly string[];
  /** Parts of the machine that are not there, or are others, for people. */
  readonly without: readonly string[];
}

export interface ProofMachineOptions {
  readonly machine: MachineDescription | undefined;
  readonly disks: readonly SessionDisk[];
  readonly accelerator: 'kvm' | 'tcg';
  readonly memoryBytes: number;
  readonly processors: number;
  readonly firmware: ProofFirmware;
  /** Where QEMU makes its sockets: `qmp`, `serial`, `qemu.qga`. */
  readonly directory: string;
  /** The NBD server of the disks; exports have the names of disks. */
  readonly disksAt: string;
  /** swtpm's socket. */
  readonly tpmAt: string | undefined;
  /** Ports of the guest that this box reaches, each at one of its own that QEMU chooses. */
  readonly forwards: readonly number[];
}

export type ProofFirmware =
  | { readonly kind: 'bios' }
  | {
      readonly kind: 'uefi';
      readonly code: string;
      readonly variables: string;
      readonly isSecure: boolean;
    };

/** A guest with more disks than this boots from the first of them. */
const DISKS_MAX = 24;
const CARDS_MAX = 8;

export function proofMachine(options: ProofMachineOptions): ProofMachine {
  const { machine, directory, firmware } = options;
  const q35 = firmware.kind === 'uefi' || isQ35(machine);
  const disks = diskArguments(options, q35);
  const network = networkArguments(options);
  const args = [
    ...['-name', 'holdfast-verify', '-nodefaults', '-no-user-config', '-S'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-machine', machineWord(options, q35)],
    ...['-cpu', options.accelerator === 'kvm' ? 'host' : 'max'],
    ...['-smp', String(options.processors), '-m', `${Math.ceil(options.memoryBytes / MiB)}M`],
    ...['-rtc', `base=${machine?.clock ?? 'utc'}`],
    ...uuidArguments(machine),
    ...firmwareArguments(firmware),
    // A guest that stops is looked at before it is gone.
    ...['-action', 'panic=pause,reboot=reset,shutdown=pause'],
    ...['-display', 'none', '-vga', 'std', '-device', 'pvpanic'],
    ...socketArguments('qmp', directory),
    ...['-mon', 'chardev=qmp,mode=control'],
    ...socketArguments('serial', directory),
    ...['-device', 'isa-serial,chardev=serial'],
    ...socketArguments('qemu.qga', directory),
    ...['-device', 'virtio-serial-pci'],
    ...['-device', 'virtserialport,chardev=qemu.qga,name=org.qemu.guest_agent.0'],
    ...tpmArguments(options),
    ...disks.args,
    ...network.args,
  ];
  return { args, without: [...disks.without, ...network.without] };
}

function machineWord({ accelerator, firmware }: ProofMachineOptions, q35: boolean): string {
  const smm = firmware.kind === 'uefi' && firmware.isSecure ? ',smm=on' : '';
  return `${q35 ? 'q35' : 'pc'},accel=${accelerator}${smm}`;
}

/** Systems that are licensed to their machine, and cloud-init, look at it. */
function uuidArguments(machine: MachineDescription | undefined): string[] {
  const uuid = machine?.ids.smbiosUuid ?? machine?.ids.uuid;
  return uuid !== undefined && UUID.test(uuid) ? ['-uuid', uuid] : [];
}
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function firmwareArguments(firmware: ProofFirmware): string[] {
  if (firmware.kind === 'bios') return [];
  const flash = (unit: number, file: string, isReadOnly: boolean): string[] => [
    '-drive',
    `if=pflash,format=raw,unit=${unit},readonly=${isReadOnly ? 'on' : 'off'},file=${quoted(file)}`,
  ];
  return [
    ...flash(0, firmware.code, true),
    ...flash(1, firmware.variables, false),
    ...(firmware.isSecure
      ? [
          '-global',
          'driver=cfi.pflash01,property=secure,value=on',
          '-global',
          'ICH9-LPC.disable_s3=1',
        ]
      : []),
    // It would wait for servers to boot from for minutes before it says that there is nothing to boot.
    ...['IPv4', 'IPv6'].flatMap((it) => [
      '-fw_cfg',
      `name=opt/org.tianocore/${it}PXESupport,string=no`,
    ]),
  ];
}

function socketArguments(name: string, directory: string): string[] {
  const path = quoted(`${directory}/${name}`);
  return ['-chardev', `socket,id=${name},path=${path},server=on,wait=off`];
}

/** A comma ends a value. */
function quoted(value: string): string {
  return value.replaceAll(',', ',,');
}

function tpmArguments({ machine, tpmAt }: ProofMachineOptions): string[] {
  if (tpmAt === undefined) return [];
  const model = machine?.tpm?.version === '1.2' ? 'tpm-tis' : 'tpm-crb';
  return [
    ...['-chardev', `socket,id=tpm,path=${quoted(tpmAt)}`],
    ...['-tpmdev', 'emulator,id=tpm0,chardev=tpm', '-device', `${model},tpmdev=tpm0`],
  ];
}

type Part = Pick<ProofMachine, 'args' | 'without'>;
type Controller = 'virtio' | 'scsi' | 'sata' | 'ide' | 'nvme' | 'usb';

/** QEMU's controllers by the names that hypervisors have for them. Others become the first. */
const SCSI: ReadonlyMap<string, string> = new Map([
  ['virtio-scsi', 'virtio-scsi-pci'],
  ['lsilogic', 'lsi53c895a'],
  ['buslogic', 'lsi53c895a'],
  ['lsisas1068', 'mptsas1068'],
  ['lsisas1078', 'megasas'],
  ['pvscsi', 'pvscsi'],
  ['vmpvscsi', 'pvscsi'],
]);
const SATA_PORTS = 6;
const IDE_PORTS = 4;

function controllerOf(bus: string | undefined, q35: boolean): Controller {
  switch (bus) {
    case undefined:
    case 'virtio':
      return 'virtio';
    case 'scsi':
    case 'nvme':
    case 'usb':
      return bus;
    case 'ide':
      return q35 ? 'sata' : 'ide';
    default:
      // For which every system has a driver.
      return 'sata';
  }
}

function diskArguments(options: ProofMachineOptions, q35: boolean): Part {
  const { machine } = options;
  const disks = placedDisks(options, machine);
  const order = [...new Set([...bootDisks(options, machine), ...disks.map(({ name }) => name)])];
  const used = new Map<Controller, number>();
  const args: string[] = [];
  const without: string[] = [];
  for (const [at, disk] of disks.entries()) {
    if (at >= DISKS_MAX) {
      without.push(`disk ${disk.name}: this boot has ${DISKS_MAX} disks at most`);
      continue;
    }
    let on = controllerOf(disk.bus, q35);
    if (on === 'ide' && (used.get('ide') ?? 0) >= IDE_PORTS) on = 'sata';
    const unit = used.get(on) ?? 0;
    used.set(on, unit + 1);
    const node = `disk${at}`;
    const common = [
      `drive=${node}`,
      `bootindex=${order.indexOf(disk.name) + 1}`,
      ...idsOf(disk, { on, node }),
      ...sectorsOf(disk),
    ].join(',');
    args.push('-blockdev', JSON.stringify(nodeOf(node, disk.name, options.disksAt)));
    args.push(...controllerArguments(on, unit, disk.model));
    args.push('-device', `${deviceOn(on, unit)},${common}`);
  }
  return { args, without };
}

function nodeOf(node: string, name: string, path: string): object {
  const server = { type: 'unix', path };
  // What is thrown away need not outlive a power cut.
  const cache = { 'no-flush': true };
  return { driver: 'nbd', 'node-name': node, server, export: name, discard: 'unmap', cache };
}

/** An NVMe device must have a serial number. */
function idsOf(
  { ids }: PlacedDisk,
  { on, node }: { readonly on: Controller; readonly node: string },
): string[] {
  const { serial = on === 'nvme' ? node : undefined, wwn } = diskIds(ids, on);
  return [
    ...(serial === undefined ? [] : [`serial=${serial}`]),
    ...(wwn === undefined ? [] : [`wwn=0x${wwn}`]),
  ];
}

function sectorsOf({ sectorSize }: SessionDisk): string[] {
  if (sectorSize === undefined) return [];
  return [`logical_block_size=${sectorSize}`, `physical_block_size=${sectorSize}`];
}

function controllerArguments(on: Controller, unit: number, model: string | undefined): string[] {
  if (on === 'scsi' && unit === 0) {
    return ['-device', `${SCSI.get(model ?? '') ?? 'virtio-scsi-pci'},id=scsi`];
  }
  if (on === 'usb' && unit === 0) return ['-device', 'qemu-xhci,id=xhci'];
  if (on === 'sata' && unit % SATA_PORTS === 0) {
    return ['-device', `ich9-ahci,id=ahci${unit / SATA_PORTS}`];
  }
  return [];
}

function deviceOn(on: Controller, unit: number): string {
  switch (on) {
    case 'virtio':
      return 'virtio-blk-pci';
    case 'scsi':
      return `scsi-hd,bus=scsi.0,scsi-id=${unit}`;
    case 'sata':
      return `ide-hd,bus=ahci${Math.floor(unit / SATA_PORTS)}.${unit % SATA_PORTS}`;
    case 'ide':
      return `ide-hd,bus=ide.${Math.floor(unit / 2)},unit=${unit % 2}`;
    case 'nvme':
      return 'nvme';
    case 'usb':
      return 'usb-storage,bus=xhci.0';
    default:
      return on satisfies never;
  }
}

const CARDS: ReadonlyMap<string, string> = new Map([
  ['virtio', 'virtio-net-pci'],
  ...['e1000', 'e1000e', 'rtl8139', 'vmxnet3', 'ne2k_pci', 'pcnet'].map((it) => [it, it] as const),
]);
/** For which every system has a driver. */
const CARD_DEFAULT = 'e1000e';
const ANY_CARD: Pick<DescribedNic, 'mac' | 'model'> = { mac: '', model: 'virtio' };

/** A guest that waits for an address gets one from QEMU, and reaches nothing (`restrict`). */
function networkArguments({ machine, forwards }: ProofMachineOptions): Part {
  const cards = machine ? machine.nics : [ANY_CARD];
  const forwarded = forwards.map((port) => `,hostfwd=tcp:127.0.0.1:0-:${port}`);
  const args = cards.slice(0, CARDS_MAX).flatMap((nic, at) => {
    const mac = macOf(nic);
    const device = [
      CARDS.get(nic.model) ?? CARD_DEFAULT,
      `netdev=net${at}`,
      // Nothing is booted from a network that has no servers.
      'romfile=',
      ...(mac === undefined ? [] : [`mac=${mac}`]),
    ];
    const net = `user,id=net${at},restrict=on${at === 0 ? forwarded.join('') : ''}`;
    return ['-netdev', net, '-device', device.join(',')];
  });
  const left = cards.length - CARDS_MAX;
  return { args, without: left > 0 ? [`${left} network cards: this boot has ${CARDS_MAX}`] : [] };
}

const MEMORY_MIN = 128 * MiB;
/** What a boot needs, not what its work needs: several machines may be verified at once. */
const MEMORY_MAX = 2 * GiB;
/** For a recovery point that does not say. */
const MEMORY_DEFAULT = GiB;

export function memoryFor(machine: MachineDescription | undefined): number {
  const own = machine?.memory.bytes ?? MEMORY_DEFAULT;
  return Math.min(MEMORY_MAX, Math.max(MEMORY_MIN, own));
}

/** More would not start a system sooner. */
const PROCESSORS_MAX = 4;

export function processorsFor(machine: MachineDescription | undefined): number {
  return Math.min(processors(), machine?.cpu.count ?? 1, PROCESSORS_MAX);
}
