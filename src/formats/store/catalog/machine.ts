import { utf8 } from '../../../lib/bytes.ts';
import { FormatError } from '../../format-error.ts';
import { MiB } from '../../../lib/sizes.ts';
import { cutText, type Fields, parseFields } from '../base/json-record.ts';
import type { Reference } from '../packs/node.ts';

/*
 * A machine as its hypervisor described it when it was backed up: in words that every hypervisor has, and, as a file
 * of the recovery point, in the hypervisor's own. machine.md.
 */

export const HYPERVISOR_KINDS = [
  'libvirt',
  'qemu',
  'vsphere',
  'hyperv',
  'xapi',
  'proxmox',
] as const;
export type HypervisorKind = (typeof HYPERVISOR_KINDS)[number];

export interface MachineDescription {
  readonly from: MachineOrigin;
  readonly arch: string;
  readonly firmware: Firmware;
  /** As the hypervisor names its model: "pc-q35-7.2", "vmx-19". */
  readonly machineType?: string | undefined;
  readonly cpu: MachineProcessors;
  readonly memory: {
    readonly bytes: number;
    readonly minBytes?: number | undefined;
    readonly maxBytes?: number | undefined;
  };
  readonly ids: MachineIds;
  /** What the guest expects of the clock of the machine. */
  readonly clock: 'utc' | 'localtime';
  /** Every disk that the machine has, also those that are not in the recovery point. */
  readonly disks: readonly DescribedDisk[];
  readonly nics: readonly DescribedNic[];
  /** `version`: "1.2", "2.0", or a later one. */
  readonly tpm?: { readonly version: string; readonly stateFile?: string | undefined } | undefined;
  /** In order: "disk:vda", "nic:52:54:00:12:34:56", "cdrom". */
  readonly boot: readonly string[];
  readonly guest?: { readonly os?: string | undefined; readonly agent: boolean } | undefined;
  readonly autostart: boolean;
  /**
   * The hypervisor's own definition, verbatim. Formats: `libvirt-xml`, `qemu-json`, `vmx`, `vim-json`, `hyperv-json`,
   * `xapi-json`, `pve-conf`, and those that later releases add.
   */
  readonly native: { readonly format: string; readonly file: string };
}

/** Where a machine was when it was backed up. */
export interface MachineOrigin {
  /** A HypervisorKind, or one that a later release has added. */
  readonly kind: string;
  /** The name of the hypervisor in Holdfast. */
  readonly hypervisor: string;
  /** "QEMU 7.2.22, libvirt 9.0.0". */
  readonly product: string;
  /** By which the hypervisor knows it. */
  readonly id: string;
  readonly name: string;
  readonly folder?: string | undefined;
}

/** Names of files are those of the recovery point. */
export type Firmware =
  | { readonly kind: 'bios' }
  | {
      readonly kind: 'uefi';
      readonly secureBoot: boolean;
      /** Its variables. */
      readonly varsFile?: string | undefined;
      /** The file on the host that its variables began as. */
      readonly varsTemplate?: string | undefined;
    }
  /** One that a later release has added. */
  | { readonly kind: 'other'; readonly name: string };

export interface MachineProcessors {
  readonly count: number;
  readonly sockets?: number | undefined;
  readonly cores?: number | undefined;
  readonly threads?: number | undefined;
  readonly model?: string | undefined;
  /** As many as can be plugged in while it runs. */
  readonly maxCount?: number | undefined;
}

export interface MachineIds {
  readonly uuid: string;
  readonly smbiosUuid?: string | undefined;
  readonly serial?: string | undefined;
  readonly generationId?: string | undefined;
}

export type SectorBytes = 512 | 4096;

const BUSES = ['virtio', 'scsi', 'sata', 'ide', 'nvme', 'usb', 'xvd', 'other'] as const;
export type DiskBus = (typeof BUSES)[number];

export interface DescribedDisk {
  /** The name of the recovery point's disk, or the one that it would have. */
  readonly name: string;
  readonly bus: DiskBus;
  readonly controller?:
    | { readonly model?: string | undefined; readonly index: number; readonly unit: number }
    | undefined;
  /** In bytes; undefined: not known. */
  readonly size?: number | undefined;
  readonly serial?: string | undefined;
  readonly wwn?: string | undefined;
  readonly sectorBytes: SectorBytes;
  /** Where its bytes were on the host. */
  readonly source?: string | undefined;
  /** Why it is not in the recovery point. */
  readonly excluded?: Exclusion | undefined;
}

export interface Exclusion {
  /** `chosen`, `removable`, `pass-through`, `shared`, `independent`, `network`, or one of a later release. */
  readonly reason: string;
  /** For people. */
  readonly detail: string;
}

export interface DescribedNic {
  readonly mac: string;
  readonly model: string;
  readonly network: {
    readonly kind: string;
    readonly name: string;
    readonly vlan?: number | undefined;
  };
  readonly connected: boolean;
}

/** A file that belongs to a machine, stored with the recovery point like a disk. */
export interface PointFile {
  readonly name: string;
  /** A PointFileKind, or one that a later release has added. */
  readonly kind: string;
  /** In bytes. */
  readonly size: number;
  /** The root of its manifest; undefined: it reads as zeros. */
  readonly reference: Reference | undefined;
}

/** `description`: a MachineDescription; `definition`: the hypervisor's own. */
export type PointFileKind = 'description' | 'definition' | 'firmware-vars' | 'tpm-state';

/** A machine with all the disks and cards that any hypervisor allows takes a tenth of it. */
const DESCRIPTION_LENGTH_MAX = MiB;
/** As long as the longest text of libvirt. */
const DEFINITION_LENGTH_MAX = 4 * MiB;
/** The variables of a firmware for ARM fill 64 MiB. */
const FILE_LENGTH_MAX = 128 * MiB;

/** The most bytes that a file of this kind has, on its host and in a recovery point: it is held in memory whole. */
export function fileLengthMax(kind: PointFile['kind']): number {
  if (kind === 'description') return DESCRIPTION_LENGTH_MAX;
  return kind === 'definition' ? DEFINITION_LENGTH_MAX : FILE_LENGTH_MAX;
}

/**
 * In what state the disks were when they were read. `application`: programs in the guest had written everything
 * out; `file-system`: its file systems were frozen; `crash`: as after a power cut; `off`: the machine did not run.
 */
export const CONSISTENCY_LEVELS = ['application', 'file-system', 'crash', 'off'] as const;
export type ConsistencyLevel = (typeof CONSISTENCY_LEVELS)[number];

export interface Consistency {
  readonly asked: ConsistencyLevel;
  readonly got: ConsistencyLevel;
  /** Why it is less than asked. */
  readonly why?: string | undefined;
}

/** From what the next backup can have its hypervisor count changes. */
export type Tracking = TrackedPoint &
  (
    | { readonly kind: 'libvirt'; readonly checkpoint: string }
    | { readonly kind: 'qemu'; readonly bitmap: string }
  );

interface TrackedPoint {
  /**
   * The ID of the recovery point that notes it, and from whose moment it counts unless `since` is there; absent: from a
   * release that did not note it. In the record of any other point, it counts nothing.
   */
  readonly point?: string | undefined;
  /** It counts from the moment of this earlier recovery point instead, over whose disks its changes are to be read. */
  readonly since?: string | undefined;
}

const FORMAT = 'holdfast-machine';
const VERSION = 1;
const DISKS_MAX = 1024;
const NICS_MAX = 1024;
const BOOT_MAX = 4096;
const COUNT_MAX = 2 ** 20;

/**
 * The file of kind `description`. Texts are the host's: what no reader would take of a long one is cut off. Throws
 * FormatError for a machine with more of anything, or with numbers, that no reader would take.
 */
export function encodeMachine(machine: MachineDescription): Uint8Array {
  const cut = (_name: string, value: unknown) =>
    typeof value === 'string' ? cutText(value) : value;
  const bytes = utf8(`${JSON.stringify({ format: FORMAT, version: VERSION, ...machine }, cut)}\n`);
  decodeMachine(bytes);
  return bytes;
}

/**
 * Words that a later release has added, for kinds of anything, must not hide the machine: they are answered as they
 * are, or as the closest that is known. Throws FormatError.
 */
export function decodeMachine(bytes: Uint8Array): MachineDescription {
  const most = fileLengthMax('description');
  if (bytes.length > most) {
    const what = `a machine's description of ${bytes.length} bytes, more than ${most}`;
    throw new FormatError('CORRUPT', what);
  }
  const fields = parseFields(bytes);
  fields.expect(FORMAT, VERSION);
  const memory = fields.object('memory');
  const native = fields.object('native');
  return present({
    from: originOf(fields.object('from')),
    arch: fields.text('arch'),
    firmware: firmwareOf(fields.object('firmware')),
    machineType: fields.optionalText('machineType'),
    cpu: processorsOf(fields.object('cpu')),
    memory: present({
      bytes: bytesOf(memory, 'bytes'),
      minBytes: memory.has('minBytes') ? bytesOf(memory, 'minBytes') : undefined,
      maxBytes: memory.has('maxBytes') ? bytesOf(memory, 'maxBytes') : undefined,
    }),
    ids: idsOf(fields.object('ids')),
    clock: fields.text('clock') === 'localtime' ? 'localtime' : 'utc',
    disks: fields.list('disks', DISKS_MAX, diskOf),
    nics: fields.list('nics', NICS_MAX, nicOf),
    tpm: fields.has('tpm') ? tpmOf(fields.object('tpm')) : undefined,
    boot: fields.texts('boot', BOOT_MAX),
    guest: fields.has('guest') ? guestOf(fields.object('guest')) : undefined,
    autostart: fields.flag('autostart'),
    native: { format: native.text('format'), file: native.text('file') },
  });
}

/** Without the fields that are undefined. */
function present<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, it]) => it !== undefined)) as T;
}

function bytesOf(fields: Fields, name: string): number {
  return fields.integer(name, 0, Number.MAX_SAFE_INTEGER);
}

function countOf(fields: Fields, name: string): number | undefined {
  return fields.has(name) ? fields.integer(name, 1, COUNT_MAX) : undefined;
}

function originOf(fields: Fields): MachineOrigin {
  return present({
    kind: fields.text('kind'),
    hypervisor: fields.text('hypervisor'),
    product: fields.text('product'),
    id: fields.text('id'),
    name: fields.text('name'),
    folder: fields.optionalText('folder'),
  });
}

function firmwareOf(fields: Fields): Firmware {
  const kind = fields.text('kind');
  if (kind === 'bios') return { kind };
  if (kind !== 'uefi')
    return { kind: 'other', name: kind === 'other' ? fields.text('name') : kind };
  return present({
    kind,
    secureBoot: fields.flag('secureBoot'),
    varsFile: fields.optionalText('varsFile'),
    varsTemplate: fields.optionalText('varsTemplate'),
  });
}

function processorsOf(fields: Fields): MachineProcessors {
  return present({
    count: fields.integer('count', 1, COUNT_MAX),
    sockets: countOf(fields, 'sockets'),
    cores: countOf(fields, 'cores'),
    threads: countOf(fields, 'threads'),
    model: fields.optionalText('model'),
    maxCount: countOf(fields, 'maxCount'),
  });
}

function idsOf(fields: Fields): MachineIds {
  return present({
    uuid: fields.text('uuid'),
    smbiosUuid: fields.optionalText('smbiosUuid'),
    serial: fields.optionalText('serial'),
    generationId: fields.optionalText('generationId'),
  });
}

function diskOf(fields: Fields): DescribedDisk {
  const controller = fields.has('controller') ? fields.object('controller') : undefined;
  const excluded = fields.has('excluded') ? fields.object('excluded') : undefined;
  return present({
    name: fields.text('name'),
    bus: busOf(fields.text('bus')),
    controller:
      controller &&
      present({
        model: controller.optionalText('model'),
        index: controller.integer('index', 0, COUNT_MAX),
        unit: controller.integer('unit', 0, COUNT_MAX),
      }),
    size: fields.has('size') ? bytesOf(fields, 'size') : undefined,
    serial: fields.optionalText('serial'),
    wwn: fields.optionalText('wwn'),
    sectorBytes: sectorOf(fields),
    source: fields.optionalText('source'),
    excluded: excluded && { reason: excluded.text('reason'), detail: excluded.text('detail') },
  });
}

function busOf(name: string): DiskBus {
  return BUSES.find((it) => it === name) ?? 'other';
}

function sectorOf(fields: Fields): SectorBytes {
  const found = fields.integer('sectorBytes', 512, 4096);
  if (found === 512 || found === 4096) return found;
  throw new FormatError('CORRUPT', `a disk with sectors of ${found} bytes`);
}

function nicOf(fields: Fields): DescribedNic {
  const network = fields.object('network');
  return {
    mac: fields.text('mac'),
    model: fields.text('model'),
    network: present({
      kind: network.text('kind'),
      name: network.text('name'),
      vlan: network.has('vlan') ? network.integer('vlan', 0, 4095) : undefined,
    }),
    connected: fields.flag('connected'),
  };
}

function tpmOf(fields: Fields): MachineDescription['tpm'] {
  return present({ version: fields.text('version'), stateFile: fields.optionalText('stateFile') });
}

function guestOf(fields: Fields): MachineDescription['guest'] {
  return present({ os: fields.optionalText('os'), agent: fields.flag('agent') });
}
