import type { DescribedNic, MachineDescription } from '../../formats/store/catalog/machine.ts';
import { cardModel, macOf } from './network-cards.ts';
import { type PlacedDisk, placedDisks, type Subject } from './session-machine.ts';

/*
 * A .vmx for a session: the machine as it was, but with a UUID of its own, and with network cards that are not
 * connected, since it must not meet its original. Without a description, a plain machine.
 */
export function vmx(
  session: Subject,
  machine: MachineDescription | undefined,
  fileOf = (disk: string): string => `${disk}.vmdk`,
): string {
  const { point } = session;
  const lines = [
    '.encoding = "UTF-8"',
    'config.version = "8"',
    `virtualHW.version = "${versionOf(machine)}"`,
    `displayName = "${session.machine} (recovered)"`,
    `annotation = "${point}"`,
    'guestOS = "other-64"',
    `memSize = "${memoryOf(machine)}"`,
    ...processors(machine),
    ...firmware(machine),
    'uuid.action = "create"',
    ...disks(placedDisks(session, machine), fileOf),
    ...(machine?.nics ?? []).slice(0, NICS_MAX).flatMap(networkCard),
  ];
  return `${lines.join('\n')}\n`;
}

const VERSION = '13';
const MEMORY_MIB = 2048;
const NICS_MAX = 10;

function versionOf(machine: MachineDescription | undefined): string {
  if (machine?.from.kind !== 'vsphere') return VERSION;
  return /^vmx-(\d{1,2})$/.exec(machine.machineType ?? '')?.[1] ?? VERSION;
}

/** A multiple of 4 MiB. */
function memoryOf(machine: MachineDescription | undefined): number {
  const mib = machine ? 4 * Math.ceil(machine.memory.bytes / 2 ** 22) : 0;
  return mib > 0 ? mib : MEMORY_MIB;
}

function processors(machine: MachineDescription | undefined): string[] {
  const { count = 2, sockets } = machine?.cpu ?? {};
  const perSocket = sockets && count % sockets === 0 ? count / sockets : undefined;
  return [
    `numvcpus = "${count}"`,
    ...(perSocket === undefined ? [] : [`cpuid.coresPerSocket = "${perSocket}"`]),
  ];
}

function firmware(machine: MachineDescription | undefined): string[] {
  if (machine?.firmware.kind !== 'uefi') return [];
  const secure = machine.firmware.secureBoot ? ['uefi.secureBoot.enabled = "TRUE"'] : [];
  return ['firmware = "efi"', ...secure];
}

/** SCSI has no target 7: that is the controller. */
const SCSI_TARGETS = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15];
const SATA_PORTS = Array.from({ length: 30 }, (_, port) => port);
const NVME_UNITS = Array.from({ length: 15 }, (_, unit) => unit);
const SCSI_MODELS = ['lsilogic', 'lsisas1068', 'pvscsi'];

type FileOf = (disk: string) => string;

/** What ESXi has no bus for is SCSI there. */
function disks(placed: readonly PlacedDisk[], fileOf: FileOf): string[] {
  const on = (bus: 'sata' | 'nvme') => placed.filter((disk) => disk.bus === bus);
  const scsi = placed.filter(({ bus }) => bus !== 'sata' && bus !== 'nvme');
  const model = scsi.find((disk) => SCSI_MODELS.includes(disk.model ?? ''))?.model ?? 'lsilogic';
  return [
    ...bus('scsi', scsi, { units: SCSI_TARGETS, model, fileOf }),
    ...bus('sata', on('sata'), { units: SATA_PORTS, fileOf }),
    ...bus('nvme', on('nvme'), { units: NVME_UNITS, fileOf }),
  ];
}

function bus(
  name: 'scsi' | 'sata' | 'nvme',
  on: readonly PlacedDisk[],
  {
    units,
    model,
    fileOf,
  }: {
    readonly units: readonly number[];
    readonly model?: string;
    readonly fileOf: FileOf;
  },
): string[] {
  const controllers = Array.from({ length: Math.ceil(on.length / units.length) }, (_, at) => at);
  return [
    ...controllers.flatMap((at) => [
      `${name}${at}.present = "TRUE"`,
      ...(model === undefined ? [] : [`${name}${at}.virtualDev = "${model}"`]),
    ]),
    ...on.flatMap((disk, index) => {
      const unit = `${name}${Math.floor(index / units.length)}:${units[index % units.length]!}`;
      return [
        `${unit}.present = "TRUE"`,
        ...(name === 'scsi' ? [`${unit}.deviceType = "scsi-hardDisk"`] : []),
        `${unit}.fileName = "${fileOf(disk.name)}"`,
      ];
    }),
  ];
}

function networkCard(nic: DescribedNic, at: number): string[] {
  const name = `ethernet${at}`;
  const mac = macOf(nic);
  return [
    `${name}.present = "TRUE"`,
    `${name}.virtualDev = "${cardModel(nic, 'vmware')}"`,
    `${name}.networkName = "${quoted(nic.network.name)}"`,
    `${name}.startConnected = "FALSE"`,
    ...(mac === undefined
      ? [`${name}.addressType = "generated"`]
      : [
          `${name}.addressType = "static"`,
          `${name}.address = "${mac}"`,
          // It may come from a host of another kind.
          `${name}.checkMACAddress = "FALSE"`,
        ]),
  ];
}

/** A value ends at a quotation mark, and a vertical bar begins the number of a character. */
function quoted(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what it looks for
  return text.replace(/["|\u0000-\u001f\u007f]/g, (sign) => {
    const code = sign.codePointAt(0)!.toString(16).toUpperCase().padStart(2, '0');
    return `|${code}`;
  });
}
