import { utf8 } from '../../lib/bytes.ts';
import { libvirtDomain, type DiskImages } from './libvirt-domain.ts';
import type { SessionMachine, Subject } from './session-machine.ts';
import { vmx } from './vmx.ts';

interface ImageFile {
  readonly name: string;
  readonly contents: Uint8Array;
}

/**
 * What a hypervisor needs besides restored disk images, for the same directory: a libvirt domain, a .vmx for VMDK
 * images, and the variables of its firmware and the state of its TPM where the recovery point has them.
 */
export function imageFiles(
  subject: Subject,
  { machine, variables, tpmState }: SessionMachine,
  images: DiskImages,
): readonly ImageFile[] {
  const name = subject.machine;
  const ofFirmware = variables && `${name}_VARS.fd`;
  const ofTpm = tpmState && `${name}_TPM.permall`;
  const domain = libvirtDomain(subject, {
    ...{ machine, variables: ofFirmware, tpmState: ofTpm, images },
  });
  const isVmdk = subject.disks.every((disk) => images.of(disk.name).format === 'vmdk');
  const forVmware = (): string => vmx(subject, machine, (disk) => images.of(disk).name);
  return [
    { name: `${name}.xml`, contents: utf8(domain) },
    ...(isVmdk ? [{ name: `${name}.vmx`, contents: utf8(forVmware()) }] : []),
    ...(variables && ofFirmware ? [{ name: ofFirmware, contents: variables }] : []),
    ...(tpmState && ofTpm ? [{ name: ofTpm, contents: tpmState }] : []),
  ];
}
