import { LIBVIRT_CALLS } from '../../../formats/wire/libvirt-calls.ts';
import type { MachineDescription } from '../../../formats/store/catalog/machine.ts';
import { all, attribute, first, parseXml, textOf, type XmlElement } from '../../base/xml.ts';
import { LibvirtError } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';

/** What the host can give a machine of that kind (libvirt.org/formatdomaincaps.html). */
export interface HostFit {
  /** `qemu`: without the processor's help, slowly. */
  readonly type: 'kvm' | 'qemu';
  /** Firmware that libvirt itself may choose. */
  readonly hasUefi: boolean;
  readonly hasSecureBoot: boolean;
  /** Files of firmware that a definition may name. */
  readonly loaders: readonly string[];
  readonly hasTpm: boolean;
}

/** `refusal`: the host has no such machine, in libvirt's words. */
export async function fitOf(
  host: LibvirtHost,
  { arch, machineType }: Pick<MachineDescription, 'arch' | 'machineType'>,
  signal: AbortSignal,
): Promise<HostFit | { readonly refusal: string }> {
  let refusal = '';
  for (const type of ['kvm', 'qemu'] as const) {
    try {
      const asked = { emulator: undefined, arch, machine: machineType, type, flags: 0 };
      const xml = await host.link.call(LIBVIRT_CALLS.capabilitiesOf, asked, signal);
      return readFit(parseXml(xml, 'domainCapabilities'), type);
    } catch (cause) {
      // How libvirt says that it has none.
      if (!(cause instanceof LibvirtError)) throw cause;
      refusal = cause.message;
    }
  }
  return { refusal };
}

function readFit(capabilities: XmlElement, type: HostFit['type']): HostFit {
  const os = first(capabilities, 'os');
  const loader = first(os, 'loader');
  const tpm = first(first(capabilities, 'devices'), 'tpm');
  return {
    type,
    hasUefi: valuesOf(os, 'firmware').includes('efi'),
    hasSecureBoot: valuesOf(loader, 'secure').includes('yes'),
    loaders: all(loader, 'value').flatMap((it) => textOf(it) ?? []),
    hasTpm: valuesOf(tpm, 'backendModel').includes('emulator'),
  };
}

function valuesOf(of: XmlElement | undefined, name: string): readonly string[] {
  const found = all(of, 'enum').find((it) => attribute(it, 'name') === name);
  return all(found, 'value').flatMap((it) => textOf(it) ?? []);
}
