import type { MachineDescription } from '../../../formats/store/catalog/machine.ts';
import type { MachinePlan, RunPlan, ShownDisk } from '../../base/run-driver.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import { all, attribute, element, first, parseXml, type XmlElement } from '../../base/xml.ts';
import type { HostFit } from './host-fit.ts';
import { isMark, type MarkedDisk, markElement } from './mark.ts';
import { diskOver, exportOf, servedDisk, sourceFor } from './served-disk.ts';
import { storedDisk } from './stored-disk.ts';
import { plainMachine } from './plain-machine.ts';
import { variablesPath } from './placed-files.ts';
import { qemuType } from '../../base/disk-targets.ts';

/*
 * The definition of a machine that a recovery point becomes, on what a session serves or on disks of the host. Where
 * the recovery point has libvirt's own definition, all of that stays which the host can have: only disks, cards,
 * firmware and names are others. Devices of the host that were passed through to the machine, and disks that are not in
 * the recovery point, are left out.
 */

export interface Defining {
  readonly plan: RunPlan;
  readonly shown: readonly ShownDisk[];
  readonly fit: HostFit;
}

/**
 * On what a session serves, or on disks of the host over it, with the session's mark. Throws HypervisorError FAILED if
 * the point's own one cannot be read.
 */
export function definitionOf({ plan, shown, fit }: Defining): XmlElement {
  const { session, writes } = plan;
  const served = new Map(
    writes === 'here'
      ? shown.map(({ source }) => [source, source])
      : shown.map(({ name, source }) => [source, servedBelow(plan, name)]),
  );
  return defined(plan, fit, {
    disks: shown,
    diskOf: (before, path) =>
      writes === 'here'
        ? servedDisk(before, path)
        : diskOver(before, { path, source: served.get(path)! }),
    markOf: (targets) =>
      markElement({
        ...{ kind: 'made', session, isMoving: false, pulled: undefined, writes },
        disks: targets.map((it) => markedDisk(it, served.get(it.source)!)),
      }),
  });
}

function servedBelow({ disks }: RunPlan, name: string): string {
  return sourceFor(disks.find((it) => it.name === name)!);
}

/** On disks of the host, as it stays. Throws as `definitionOf`. */
export function storedDefinition(
  plan: MachinePlan,
  fit: HostFit,
  disks: readonly (ShownDisk & { readonly isBlock: boolean })[],
): XmlElement {
  const kinds = new Map(disks.map(({ source, isBlock }) => [source, isBlock]));
  return defined(plan, fit, {
    disks,
    diskOf: (before, path) => storedDisk(before, { path, isBlock: kinds.get(path) ?? false }),
    markOf: () => undefined,
  });
}

interface OnDisks {
  readonly disks: readonly ShownDisk[];
  /** What a disk becomes, from what it was. */
  diskOf(before: XmlElement, source: string): XmlElement;
  markOf(targets: readonly Target[]): XmlElement | undefined;
}

/** A disk, and what it was. */
interface Target extends ShownDisk {
  readonly disk: XmlElement;
}

function defined(plan: MachinePlan, fit: HostFit, on: OnDisks): XmlElement {
  const native = nativeOf(plan);
  const before = native ?? plainMachine(plan.machine, on.disks);
  const devices = first(before, 'devices');
  const found = all(devices, 'disk');
  const targets = native
    ? targetsIn(found, on.disks)
    : on.disks.map((it, at) => ({ ...it, disk: found[at]! }));
  const disks = new Map(targets.map(({ source, disk }) => [disk, on.diskOf(disk, source)]));
  const metadata = first(before, 'metadata')?.children.filter((it) => !isMark(it)) ?? [];
  const others = ['name', 'uuid', 'metadata', 'os', 'devices', 'genid'];
  const { id: _, ...attributes } = before.attributes;
  return {
    name: 'domain',
    attributes: { ...attributes, type: fit.type },
    children: [
      element('name', {}, plan.name),
      element('uuid', {}, plan.uuid),
      // Another one each time that the guest is as it once was: it may have to know.
      ...(first(before, 'genid') ? [element('genid', {})] : []),
      element('metadata', {}, ...metadata, on.markOf(targets)),
      systemOf(before, { plan, fit }),
      ...before.children.filter((it) => typeof it === 'string' || !others.includes(it.name)),
      {
        ...{ name: 'devices', attributes: {} },
        children: (devices?.children ?? []).flatMap((it) =>
          typeof it === 'string' ? [] : deviceOf(it, { plan, disks }),
        ),
      },
    ],
  };
}

function markedDisk({ name, disk }: Target, served: string): MarkedDisk {
  const driver = first(disk, 'driver');
  return {
    ...{ name, target: targetOf(disk), served: exportOf(served).name },
    errorPolicy: attribute(driver, 'error_policy'),
    readErrorPolicy: attribute(driver, 'rerror_policy'),
  };
}

function nativeOf({ machine, files }: MachinePlan): XmlElement | undefined {
  if (machine.native.format !== 'libvirt-xml') return undefined;
  const file = files.find(({ kind }) => kind === 'definition');
  return file && parseXml(Buffer.from(file.bytes).toString('utf8'), 'domain');
}

function targetOf(disk: XmlElement): string {
  return attribute(first(disk, 'target'), 'dev') ?? '';
}

/** Throws CONFLICT if the definition lacks one of them. */
function targetsIn(disks: readonly XmlElement[], shown: readonly ShownDisk[]) {
  return shown.map((it) => {
    const disk = disks.find((one) => targetOf(one) === it.name);
    if (disk) return { ...it, disk };
    const message = `the definition in the recovery point has no disk ${it.name}`;
    throw new HypervisorError('CONFLICT', message);
  });
}

/** How the machine begins: firmware of this host, and variables of its own. */
function systemOf(
  before: XmlElement,
  { plan, fit }: { readonly plan: MachinePlan; readonly fit: HostFit },
): XmlElement {
  const os = first(before, 'os') ?? element('os', {}, element('type', {}, 'hvm'));
  const { firmware } = plan.machine;
  if (firmware.kind !== 'uefi') return os;
  const loader = first(os, 'loader');
  const named = typeof loader?.children[0] === 'string' ? loader.children[0].trim() : '';
  const isKept = fit.loaders.includes(named);
  const hasVariables = plan.files.some(({ kind }) => kind === 'firmware-vars');
  const template = hasVariables ? undefined : attribute(first(os, 'nvram'), 'template');
  const rest = os.children.filter(
    (it) => typeof it === 'string' || !['loader', 'nvram', 'firmware'].includes(it.name),
  );
  const { firmware: _, ...attributes } = os.attributes;
  const secure = firmware.secureBoot ? 'yes' : 'no';
  return {
    name: 'os',
    attributes: isKept ? attributes : { ...attributes, firmware: 'efi' },
    children: [
      ...rest,
      ...(isKept
        ? [loader!]
        : [element('firmware', {}, element('feature', { enabled: secure, name: 'secure-boot' }))]),
      element('nvram', { template: isKept ? template : undefined }, variablesPath(plan.session)),
    ],
  };
}

interface Changing {
  readonly plan: MachinePlan;
  /** What each disk becomes. */
  readonly disks: ReadonlyMap<XmlElement, XmlElement>;
}

/** None: the host has no such device, or it is the host's own choice. */
function deviceOf(device: XmlElement, { plan, disks }: Changing): readonly XmlElement[] {
  switch (device.name) {
    case 'disk': {
      const becomes = disks.get(device);
      if (becomes) return [becomes];
      return /^(cdrom|floppy)$/.test(attribute(device, 'device') ?? '') ? [emptyDrive(device)] : [];
    }
    case 'interface':
      return [cardOf(device, plan)];
    case 'tpm':
      return attribute(first(device, 'backend'), 'type') === 'emulator' ? [device] : [];
    case 'emulator':
    case 'hostdev':
    case 'lease':
      return [];
    default:
      return [device];
  }
}

/** Its medium was the host's. */
function emptyDrive(drive: XmlElement): XmlElement {
  return {
    name: 'disk',
    attributes: { ...drive.attributes, type: 'file' },
    children: drive.children.filter(
      (it) => typeof it === 'string' || !['source', 'backingStore', 'mirror'].includes(it.name),
    ),
  };
}

/** What says where a card's other end is, or what it is called there. */
const OUTSIDE = [
  'source',
  'target',
  'virtualport',
  'vlan',
  'portgroup',
  'filterref',
  'ip',
  'route',
];

/** A card without a network is there, and leads nowhere: a missing network is never another one. */
function cardOf(card: XmlElement, { networks }: MachinePlan): XmlElement {
  const mac = attribute(first(card, 'mac'), 'address') ?? '';
  const network = networkOf(networks, mac);
  const inside = card.children.filter((it) => typeof it === 'string' || !OUTSIDE.includes(it.name));
  if (network !== undefined) {
    const bridge = bridgeIn(network);
    return {
      ...{ name: 'interface', attributes: { type: bridge ? 'bridge' : 'network' } },
      children: [element('source', bridge ? { bridge } : { network }), ...inside],
    };
  }
  const others = inside.filter((it) => typeof it === 'string' || it.name !== 'link');
  return {
    ...{ name: 'interface', attributes: { type: 'ethernet' } },
    children: [...others, element('link', { state: 'down' })],
  };
}

/** A bridge of the host that is none of libvirt's networks: libvirt does not list them. Undefined: it is one. */
export function bridgeIn(network: string): string | undefined {
  return /^bridge:(.+)$/.exec(network)?.[1];
}

export function networkOf(networks: MachinePlan['networks'], mac: string): string | undefined {
  const found = Object.entries(networks).find(([it]) => it.toLowerCase() === mac.toLowerCase());
  return found?.[1];
}

/** Whether devices of the host were passed through to the machine, which its new place lacks. */
export function passedThrough(plan: MachinePlan): readonly string[] {
  const devices = first(nativeOf(plan), 'devices');
  return all(devices, 'hostdev').map((it) => attribute(it, 'type') ?? 'device');
}

/** As the host is asked what it can give it. */
export function kindOf({
  machine,
  files,
}: MachinePlan): Pick<MachineDescription, 'arch' | 'machineType'> {
  const isNative = files.some(({ kind }) => kind === 'definition');
  const isOwn = machine.native.format === 'libvirt-xml' && isNative;
  return { arch: machine.arch, machineType: isOwn ? machine.machineType : qemuType(machine) };
}
