import type { DescribedNic, MachineDescription } from '../../formats/store/catalog/machine.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { diskIds } from '../../hypervisors/base/disk-ids.ts';
import { shellWords } from '../../lib/shell-words.ts';
import { isQ35 } from '../../hypervisors/base/disk-targets.ts';
import { cardModel, macOf } from './network-cards.ts';
import { type PlacedDisk, placedDisks } from './session-machine.ts';

/*
 * Commands for a host of Proxmox VE that has the export as its storage "holdfast". A disk is given by its path there,
 * for which `qm` has to run as root; a disk that is given so is not a volume, and Proxmox VE does not move it.
 */
export function proxmoxCommands(
  session: SessionRecord,
  machine: MachineDescription | undefined,
): string[] {
  const options = machine ? described(machine) : ['--memory', '2048'];
  const disks = attached(session, machine);
  const words = [
    ...['qm', 'create', 'VMID', '--name', `${session.machine}-recovered`],
    ...options,
    ...disks.flatMap(({ as, path, ids }) => [`--${as}`, `${path}${ids}`]),
  ];
  return [
    '# as root: disks are given by their paths. Proxmox VE does not move such a disk to another storage:',
    '# to bring one over, shut the machine down and import it, which copies it',
    shellWords(words),
    ...disks.map(
      ({ path }) => `# ${shellWords(['qm', 'disk', 'import', 'VMID', path, 'STORAGE'])}`,
    ),
  ];
}

const MIB = 2 ** 20;

function described(machine: MachineDescription): string[] {
  const { cpu, memory, firmware, tpm, nics } = machine;
  const sockets = cpu.sockets && cpu.count % cpu.sockets === 0 ? cpu.sockets : 1;
  const keys = firmware.kind === 'uefi' && firmware.secureBoot ? 1 : 0;
  return [
    ...['--memory', String(Math.max(16, Math.ceil(memory.bytes / MIB)))],
    ...['--sockets', String(sockets), '--cores', String(cpu.count / sockets)],
    ...(isQ35(machine) ? ['--machine', 'q35'] : []),
    ...(firmware.kind === 'uefi'
      ? ['--bios', 'ovmf', '--efidisk0', `STORAGE:1,efitype=4m,pre-enrolled-keys=${keys}`]
      : []),
    ...(tpm?.version === '2.0' ? ['--tpmstate0', 'STORAGE:1,version=v2.0'] : []),
    ...(machine.clock === 'localtime' ? ['--localtime', '1'] : []),
    ...['--scsihw', 'virtio-scsi-pci'],
    ...nics.slice(0, NICS_MAX).flatMap((nic, at) => [`--net${at}`, networkCard(nic)]),
  ];
}

const NICS_MAX = 32;
const VLAN_MAX = 4094;

/** Not connected: a recovered machine must not meet its original. */
function networkCard(nic: DescribedNic): string {
  const { vlan = 0 } = nic.network;
  const mac = macOf(nic);
  const address = mac === undefined ? '' : `=${mac}`;
  const tag = vlan >= 1 && vlan <= VLAN_MAX ? `,tag=${vlan}` : '';
  return `${cardModel(nic, 'proxmox')}${address},bridge=vmbr0,link_down=1${tag}`;
}

/** The greatest number of disks on each bus; what there is no bus for is SATA, for which every system has a driver. */
const BUSES = { virtio: 16, scsi: 31, sata: 6, ide: 4 } as const;

function attached(
  session: SessionRecord,
  machine: MachineDescription | undefined,
): { readonly as: string; readonly path: string; readonly ids: string }[] {
  const counts = { virtio: 0, scsi: 0, sata: 0, ide: 0 };
  return placedDisks(session, machine).map((disk) => {
    const wanted = busOf(disk);
    const bus = counts[wanted] < BUSES[wanted] ? wanted : 'scsi';
    const as = `${bus}${counts[bus]++}`;
    const path = `/mnt/pve/holdfast/${session.id}/${disk.name}.raw`;
    return { as, path, ids: idOptions(disk, bus) };
  });
}

/** Proxmox VE takes 20 signs of a serial number. */
const SERIAL = /^[\w.-]{1,20}$/;

function idOptions({ ids }: PlacedDisk, bus: keyof typeof BUSES): string {
  const { serial, wwn } = diskIds(ids, bus);
  const known = serial !== undefined && SERIAL.test(serial);
  return `${known ? `,serial=${serial}` : ''}${wwn === undefined ? '' : `,wwn=0x${wwn}`}`;
}

function busOf({ bus }: PlacedDisk): keyof typeof BUSES {
  if (bus === undefined) return 'scsi';
  return bus === 'virtio' || bus === 'scsi' || bus === 'ide' ? bus : 'sata';
}
