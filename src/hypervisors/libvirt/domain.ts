import type {
  DescribedDisk,
  DescribedNic,
  Exclusion,
  Firmware,
  MachineDescription,
  SectorBytes,
} from '../../formats/store/catalog/machine.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { all, attribute, first, parseXml, textOf, type XmlElement } from '../base/xml.ts';

/*
 * A domain's XML, as libvirt gives it (libvirt.org/formatdomain.html), in our words. What a hypervisor leaves out has
 * libvirt's own default; what it has that we do not know is in the definition, which is kept verbatim.
 */

export interface Domain {
  readonly uuid: string;
  readonly name: string;
  readonly disks: readonly DomainDisk[];
  /** Files on the host. */
  readonly nvram: string | undefined;
  /** It is to have UEFI, and variables of its own, and libvirt chooses the files when it starts. */
  readonly hasFirmwareLater: boolean;
  readonly tpm: { readonly version: '1.2' | '2.0' } | undefined;
  /** Whether a guest agent is connected: only a running domain says so. */
  readonly agent: 'connected' | 'disconnected' | 'none';
  readonly description: Omit<MachineDescription, 'from' | 'native' | 'autostart'>;
}

export interface DomainDisk {
  /** Its target: `vda`. */
  readonly name: string;
  /** How it is found: `file`, `block`, `network`, `volume` and so on. */
  readonly type: string;
  /** The file or the device; undefined: it has none of its own. */
  readonly path: string | undefined;
  /** The index of its source, in the name of QEMU's node; undefined: the machine is off. */
  readonly index: string | undefined;
  readonly format: string;
  /** To the guest. */
  readonly isReadOnly: boolean;
  /** Whether a block job runs on it: it is copied, moved or merged. */
  readonly isMirrored: boolean;
  readonly described: DescribedDisk;
}

/** Throws HypervisorError FAILED. */
export function readDomain(xml: string): Domain {
  const domain = parseXml(xml, 'domain');
  const devices = first(domain, 'devices');
  const disks = all(devices, 'disk').map(diskOf);
  const os = first(domain, 'os');
  const tpm = tpmOf(devices);
  const nvram =
    textOf(first(os, 'nvram')) ?? attribute(first(first(os, 'nvram'), 'source'), 'file');
  return {
    uuid: required(domain, 'uuid'),
    name: required(domain, 'name'),
    disks,
    ...{ nvram, tpm },
    hasFirmwareLater:
      attribute(os, 'firmware') === 'efi' &&
      nvram === undefined &&
      attribute(first(os, 'loader'), 'stateless') !== 'yes',
    agent: agentOf(devices),
    description: {
      arch: attribute(first(os, 'type'), 'arch') ?? 'x86_64',
      firmware: firmwareOf(os),
      machineType: attribute(first(os, 'type'), 'machine'),
      cpu: processorsOf(domain),
      memory: memoryOf(domain),
      ids: idsOf(domain),
      clock: attribute(first(domain, 'clock'), 'offset') === 'localtime' ? 'localtime' : 'utc',
      disks: disks.map(({ described }) => described),
      nics: all(devices, 'interface').map(nicOf),
      tpm,
      boot: bootOf(os, devices),
      guest: { os: osOf(domain), agent: agentOf(devices) !== 'none' },
    },
  };
}

function required(element: XmlElement, name: string): string {
  const found = textOf(first(element, name));
  if (found !== undefined && found !== '') return found;
  throw new HypervisorError('FAILED', `libvirt describes a machine without <${name}>`);
}

const BUSES = ['virtio', 'scsi', 'sata', 'ide', 'nvme', 'usb'] as const;

function diskOf(disk: XmlElement): DomainDisk {
  const target = first(disk, 'target');
  const source = first(disk, 'source');
  const type = attribute(disk, 'type') ?? 'file';
  const path = attribute(source, 'file') ?? attribute(source, 'dev');
  const where = path ?? nameOfSource(source, type);
  const bus = attribute(target, 'bus') ?? '';
  const address = first(disk, 'address');
  const sector = numberIn(attribute(first(disk, 'blockio'), 'logical_block_size'));
  const sectorBytes: SectorBytes = sector === 4096 ? 4096 : 512;
  const name = attribute(target, 'dev') ?? 'disk';
  return {
    ...{ name, type, path },
    index: attribute(source, 'index'),
    format: attribute(first(disk, 'driver'), 'type') ?? 'raw',
    isReadOnly: first(disk, 'readonly') !== undefined,
    isMirrored: first(disk, 'mirror') !== undefined,
    described: {
      name,
      bus: BUSES.find((it) => it === bus) ?? (bus === 'xen' ? 'xvd' : 'other'),
      ...(attribute(address, 'type') === 'drive' && {
        controller: {
          index: numberIn(attribute(address, 'controller')) ?? 0,
          unit: numberIn(attribute(address, 'unit')) ?? 0,
        },
      }),
      serial: textOf(first(disk, 'serial')),
      wwn: textOf(first(disk, 'wwn')),
      sectorBytes,
      source: where,
      excluded: excludedOf(disk, name),
    },
  };
}

function nameOfSource(source: XmlElement | undefined, type: string): string | undefined {
  if (!source) return undefined;
  if (type === 'volume')
    return `${attribute(source, 'pool') ?? '?'}/${attribute(source, 'volume') ?? '?'}`;
  if (type !== 'network') return undefined;
  const host = attribute(first(source, 'host'), 'name') ?? '';
  return `${attribute(source, 'protocol') ?? 'network'}://${host}/${attribute(source, 'name') ?? ''}`;
}

/** What a backup cannot, or must not, read of a machine. */
function excludedOf(disk: XmlElement, name: string): Exclusion | undefined {
  const device = attribute(disk, 'device') ?? 'disk';
  if (device === 'cdrom' || device === 'floppy') {
    const what = device === 'cdrom' ? 'an optical drive' : 'a floppy drive';
    return { reason: 'removable', detail: `${name} is ${what}` };
  }
  if (device === 'lun') {
    const detail = `${name} is passed through to the guest, past the hypervisor: back it up from inside`;
    return { reason: 'pass-through', detail };
  }
  if (first(disk, 'shareable')) {
    const detail = `several machines write to ${name} at the same time: back it up from inside of one`;
    return { reason: 'shared', detail };
  }
  if (first(disk, 'transient')) {
    const detail = `what is written to ${name} is thrown away when the machine is turned off`;
    return { reason: 'independent', detail };
  }
  return undefined;
}

function firmwareOf(os: XmlElement | undefined): Firmware {
  const loader = first(os, 'loader');
  const isUefi = attribute(os, 'firmware') === 'efi' || attribute(loader, 'type') === 'pflash';
  if (!isUefi) return { kind: 'bios' };
  const nvram = first(os, 'nvram');
  // libvirt chooses a loader only when the machine starts, if it is described by what it can do.
  const wanted = all(first(os, 'firmware'), 'feature').find(
    (it) => attribute(it, 'name') === 'secure-boot',
  );
  return {
    kind: 'uefi',
    secureBoot: attribute(loader, 'secure') === 'yes' || attribute(wanted, 'enabled') === 'yes',
    varsTemplate: attribute(nvram, 'template'),
  };
}

function processorsOf(domain: XmlElement): MachineDescription['cpu'] {
  const vcpu = first(domain, 'vcpu');
  const most = numberIn(textOf(vcpu)) ?? 1;
  const count = numberIn(attribute(vcpu, 'current')) ?? most;
  const cpu = first(domain, 'cpu');
  const topology = first(cpu, 'topology');
  return {
    count,
    sockets: numberIn(attribute(topology, 'sockets')),
    cores: numberIn(attribute(topology, 'cores')),
    threads: numberIn(attribute(topology, 'threads')),
    model: textOf(first(cpu, 'model')) ?? attribute(cpu, 'mode'),
    ...(most > count && { maxCount: most }),
  };
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ b: 1, bytes: 1, k: 1024, kib: 1024, kb: 1000 },
  ...{ m: 1024 ** 2, mib: 1024 ** 2, mb: 1000 ** 2 },
  ...{ g: 1024 ** 3, gib: 1024 ** 3, gb: 1000 ** 3 },
  ...{ t: 1024 ** 4, tib: 1024 ** 4, tb: 1000 ** 4 },
};

function memoryOf(domain: XmlElement): MachineDescription['memory'] {
  const bytes = bytesIn(first(domain, 'memory')) ?? 0;
  const current = bytesIn(first(domain, 'currentMemory'));
  const max = bytesIn(first(domain, 'maxMemory'));
  return {
    bytes,
    ...(current !== undefined && current < bytes && { minBytes: current }),
    ...(max !== undefined && { maxBytes: max }),
  };
}

function bytesIn(element: XmlElement | undefined): number | undefined {
  const value = numberIn(textOf(element));
  const unit = UNITS[(attribute(element, 'unit') ?? 'KiB').toLowerCase()];
  return value === undefined || unit === undefined ? undefined : value * unit;
}

function idsOf(domain: XmlElement): MachineDescription['ids'] {
  const system = first(first(domain, 'sysinfo'), 'system');
  const entry = (name: string): string | undefined =>
    textOf(all(system, 'entry').find((it) => attribute(it, 'name') === name));
  return {
    uuid: required(domain, 'uuid'),
    smbiosUuid: entry('uuid'),
    serial: entry('serial'),
    generationId: textOf(first(domain, 'genid')),
  };
}

function nicOf(nic: XmlElement): DescribedNic {
  const kind = attribute(nic, 'type') ?? 'user';
  const source = first(nic, 'source');
  const name =
    attribute(source, 'network') ?? attribute(source, 'bridge') ?? attribute(source, 'dev') ?? '';
  const vlan = numberIn(attribute(first(first(nic, 'vlan'), 'tag'), 'id'));
  return {
    mac: attribute(first(nic, 'mac'), 'address') ?? '',
    model: attribute(first(nic, 'model'), 'type') ?? '',
    network: { kind, name, ...(vlan !== undefined && { vlan }) },
    connected: attribute(first(nic, 'link'), 'state') !== 'down',
  };
}

function tpmOf(devices: XmlElement | undefined): Domain['tpm'] {
  const backend = first(first(devices, 'tpm'), 'backend');
  // A TPM of the host itself has no state that could be moved.
  if (attribute(backend, 'type') !== 'emulator') return undefined;
  return { version: attribute(backend, 'version') === '1.2' ? '1.2' : '2.0' };
}

const AGENT = 'org.qemu.guest_agent.0';

function agentOf(devices: XmlElement | undefined): Domain['agent'] {
  const targets = all(devices, 'channel').map((it) => first(it, 'target'));
  const agent = targets.find((it) => attribute(it, 'name') === AGENT);
  if (!agent) return 'none';
  return attribute(agent, 'state') === 'connected' ? 'connected' : 'disconnected';
}

/** By `<boot order>` of devices where there is one, else by the kinds of devices that `<os>` names. */
function bootOf(os: XmlElement | undefined, devices: XmlElement | undefined): readonly string[] {
  const ordered = [
    ...all(devices, 'disk').map((it) => ({ it, name: diskBoot(it) })),
    ...all(devices, 'interface').map((it) => ({ it, name: `nic:${nicOf(it).mac}` })),
  ].flatMap(({ it, name }) => {
    const order = numberIn(attribute(first(it, 'boot'), 'order'));
    return order === undefined ? [] : [{ order, name }];
  });
  if (ordered.length > 0) {
    return ordered.toSorted((a, b) => a.order - b.order).map(({ name }) => name);
  }
  return all(os, 'boot').flatMap((it) => {
    const kind = attribute(it, 'dev');
    if (kind === 'hd') return all(devices, 'disk').filter(isDisk).slice(0, 1).map(diskBoot);
    if (kind === 'network') {
      return all(devices, 'interface')
        .slice(0, 1)
        .map((nic) => `nic:${nicOf(nic).mac}`);
    }
    return kind === undefined ? [] : [kind];
  });
}

function isDisk(disk: XmlElement): boolean {
  return (attribute(disk, 'device') ?? 'disk') === 'disk';
}

function diskBoot(disk: XmlElement): string {
  const kind = attribute(disk, 'device') ?? 'disk';
  return kind === 'disk' ? `disk:${attribute(first(disk, 'target'), 'dev') ?? ''}` : kind;
}

/** What libosinfo calls it: `http://debian.org/debian/12`. */
function osOf(domain: XmlElement): string | undefined {
  const info = first(first(domain, 'metadata'), 'libosinfo:libosinfo');
  return attribute(first(info, 'libosinfo:os'), 'id');
}

function numberIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
