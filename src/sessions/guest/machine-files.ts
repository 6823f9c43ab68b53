import { utf8 } from '../../lib/bytes.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { FirstFiles } from '../../vfs/initial-files.ts';
import { blockSizes, escapedXml } from './guest-config.ts';

/*
 * What a hypervisor needs besides the disks, in a session's directory: each disk as a flat file with a VMDK
 * descriptor for ESXi, a .vmx, and a libvirt domain. The files belong to the session: a hypervisor may change them.
 */
export function machineFiles(session: SessionRecord): FirstFiles {
  const { machine, disks } = session;
  return {
    disks: disks.map(({ name, size }) => ({
      disk: name,
      size,
      names: [`${name}.raw`, `${name}-flat.vmdk`],
    })),
    files: [
      ...disks.map(({ name, size }) => ({
        name: `${name}.vmdk`,
        contents: utf8(vmdkDescriptor(`${name}-flat.vmdk`, size)),
      })),
      { name: `${machine}.vmx`, contents: utf8(vmx(session)) },
      { name: `${machine}.xml`, contents: utf8(libvirtDomain(session)) },
    ],
  };
}

const SECTOR_LENGTH = 512;
const HEADS = 255;
const SECTORS = 63;

/** "Virtual Disk Format 5.0", type vmfs: one flat extent. */
function vmdkDescriptor(flat: string, size: number): string {
  const sectors = Math.ceil(size / SECTOR_LENGTH);
  return [
    '# Disk DescriptorFile',
    'version=1',
    'encoding="UTF-8"',
    'CID=fffffffe',
    'parentCID=ffffffff',
    'createType="vmfs"',
    '',
    '# Extent description',
    `RW ${sectors} VMFS "${flat}"`,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.adapterType = "lsilogic"',
    `ddb.geometry.cylinders = "${Math.max(1, Math.floor(sectors / (HEADS * SECTORS)))}"`,
    `ddb.geometry.heads = "${HEADS}"`,
    `ddb.geometry.sectors = "${SECTORS}"`,
    'ddb.virtualHWVersion = "13"',
    '',
  ].join('\n');
}

/** SCSI has no target 7: that is the controller. */
const SCSI_TARGETS = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/** Without a network: a recovered machine must not meet its original. */
function vmx({ machine, point, disks }: SessionRecord): string {
  const controllers = Math.ceil(disks.length / SCSI_TARGETS.length);
  const lines = [
    '.encoding = "UTF-8"',
    'config.version = "8"',
    'virtualHW.version = "13"',
    `displayName = "${machine} (recovered)"`,
    `annotation = "${point}"`,
    'guestOS = "other-64"',
    'memSize = "2048"',
    'numvcpus = "2"',
    'uuid.action = "create"',
  ];
  for (let controller = 0; controller < controllers; controller++) {
    lines.push(`scsi${controller}.present = "TRUE"`);
    lines.push(`scsi${controller}.virtualDev = "lsilogic"`);
  }
  disks.forEach(({ name }, index) => {
    const target = SCSI_TARGETS[index % SCSI_TARGETS.length]!;
    const unit = `scsi${Math.floor(index / SCSI_TARGETS.length)}:${target}`;
    lines.push(`${unit}.present = "TRUE"`);
    lines.push(`${unit}.deviceType = "scsi-hardDisk"`);
    lines.push(`${unit}.fileName = "${name}.vmdk"`);
  });
  return `${lines.join('\n')}\n`;
}

/** The path at which our texts tell hosts to mount the export. */
export const MOUNT_POINT = '/mnt/holdfast';

function libvirtDomain({ id, machine, disks }: SessionRecord): string {
  const lines = disks.flatMap(({ name, sectorSize }) => [
    "    <disk type='file' device='disk'>",
    "      <driver name='qemu' type='raw' cache='none'/>",
    `      <source file='${escapedXml(`${MOUNT_POINT}/${id}/${name}.raw`)}'/>`,
    `      <target dev='${escapedXml(name)}' bus='virtio'/>`,
    ...blockSizes(sectorSize).map((line) => `      ${line}`),
    '    </disk>',
  ]);
  return [
    "<domain type='kvm'>",
    `  <name>${escapedXml(`${machine}-recovered`)}</name>`,
    "  <memory unit='MiB'>2048</memory>",
    '  <vcpu>2</vcpu>',
    "  <os><type arch='x86_64'>hvm</type></os>",
    '  <features><acpi/><apic/></features>',
    '  <devices>',
    ...lines,
    "    <serial type='pty'/>",
    "    <console type='pty'/>",
    '  </devices>',
    '</domain>',
    '',
  ].join('\n');
}
