import { utf8 } from '../../lib/bytes.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { FirstFiles } from '../../vfs/initial-files.ts';
import { libvirtDomain } from './libvirt-domain.ts';
import type { SessionMachine } from './session-machine.ts';
import { vmx } from './vmx.ts';

/*
 * What a hypervisor needs besides the disks, in a session's directory: each disk as a flat file with a VMDK
 * descriptor for ESXi, a .vmx, a libvirt domain, and the variables of its firmware and the state of its TPM where the
 * recovery point has them. The files belong to the session: a hypervisor may change them. Which there are must not
 * depend on the set's key: a check without it counts them.
 */
export function machineFiles(
  session: SessionRecord,
  { machine: described, variables, tpmState }: Partial<SessionMachine> = {},
): FirstFiles {
  const { machine, disks } = session;
  const flat = flatNames(disks);
  const ofFirmware = variables && `${machine}_VARS.fd`;
  const ofTpm = tpmState && tpmStateName(session);
  const options = { machine: described, variables: ofFirmware, tpmState: ofTpm };
  const domain = libvirtDomain(session, options);
  return {
    disks: disks.map(({ name, size }) => ({
      disk: name,
      size,
      names: [`${name}.raw`, flat(name)],
    })),
    files: [
      ...disks.map(({ name, size }) => ({
        name: `${name}.vmdk`,
        contents: utf8(vmdkDescriptor(flat(name), size)),
      })),
      { name: `${machine}.vmx`, contents: utf8(vmx(session, described)) },
      { name: `${machine}.xml`, contents: utf8(domain) },
      ...(variables && ofFirmware ? [{ name: ofFirmware, contents: variables }] : []),
      ...(tpmState && ofTpm ? [{ name: ofTpm, contents: tpmState }] : []),
    ],
  };
}

/** The file with the state of the machine's TPM. */
export function tpmStateName({ machine }: SessionRecord): string {
  return `${machine}_TPM.permall`;
}

/** The files with the contents of disks, beside their descriptors: another disk may have such a name itself. */
function flatNames(disks: SessionRecord['disks']): (disk: string) => string {
  const names = new Set(disks.map(({ name }) => name));
  return (disk) => {
    let name = `${disk}-flat`;
    while (names.has(name)) name += '_';
    return `${name}.vmdk`;
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
