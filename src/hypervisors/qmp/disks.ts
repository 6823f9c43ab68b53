import { basename } from 'node:path/posix';
import type { QmpDrive, QmpMedium } from '../../formats/wire/qmp-answers.ts';
import type {
  DescribedDisk,
  DiskBus,
  Exclusion,
  SectorBytes,
} from '../../formats/store/catalog/machine.ts';
import { QMP } from './commands.ts';
import type { QmpLink } from './link.ts';
import { QmpError } from './qmp-error.ts';

/** A disk of a machine, and what QEMU calls it. */
export interface QemuDisk {
  readonly name: string;
  readonly described: DescribedDisk;
  /** Undefined: there is no medium in the drive. */
  readonly medium: QmpMedium | undefined;
}

/** Firmware lies in flash memory: drives that are no disks of the guest. */
const FLASH = /^pflash\d+$|^\/machine\/(?:\w+\.)?flash\d+$/;

/** The file that holds what the firmware remembers, and the firmware's own. */
export interface Flash {
  readonly code: string;
  readonly variables: string | undefined;
}

export function flashOf(drives: readonly QmpDrive[]): Flash | undefined {
  const media = drives.filter(isFlash).flatMap(({ medium }) => medium ?? []);
  if (media.length === 0) return undefined;
  const writable = media.find(({ isReadOnly }) => !isReadOnly);
  const code = media.find((it) => it !== writable) ?? media[0]!;
  return { code: code.file, variables: writable?.file };
}

function isFlash({ device, qdev = '' }: QmpDrive): boolean {
  return FLASH.test(device) || FLASH.test(qdev);
}

/** All disks that devices of the guest use, in QEMU's order. */
export async function disksOf(
  link: QmpLink,
  drives: readonly QmpDrive[],
  signal: AbortSignal,
): Promise<readonly QemuDisk[]> {
  const disks: QemuDisk[] = [];
  const taken = new Set<string>();
  for (const drive of drives) {
    if (drive.qdev === undefined || isFlash(drive)) continue;
    const wanted = nameOf(drive, drive.qdev);
    const name = taken.has(wanted) ? `${wanted}-${disks.length}` : wanted;
    taken.add(name);
    const device = await deviceAt(link, drive.qdev, signal);
    const { medium } = drive;
    const excluded = excludedOf(drive, { name, type: device.type });
    const source = medium && (medium.file || medium.driver);
    disks.push({
      ...{ name, medium },
      described: {
        ...{ name, bus: busOf(device.type), sectorBytes: device.sectorBytes },
        ...(medium && !excluded && { size: medium.size }),
        ...(device.serial !== undefined && { serial: device.serial }),
        ...(source !== undefined && { source }),
        ...(excluded && { excluded }),
      },
    });
  }
  return disks;
}

/** What the administrator called it, else QEMU's own name, which lasts as long as the command line does. */
function nameOf({ device, medium }: QmpDrive, qdev: string): string {
  if (device !== '') return device;
  const id = qdev.startsWith('/') ? /^\/machine\/peripheral\/([^/]+)/.exec(qdev)?.[1] : qdev;
  if (id !== undefined) return id;
  // QEMU makes up names that begin so.
  const isNamed = medium !== undefined && !medium.node.startsWith('#');
  return isNamed ? medium.node : qdev.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '');
}

interface Device {
  /** "scsi-hd", "virtio-blk-device". */
  readonly type: string;
  readonly serial: string | undefined;
  readonly sectorBytes: SectorBytes;
}

async function deviceAt(link: QmpLink, qdev: string, signal: AbortSignal): Promise<Device> {
  const path = qdev.startsWith('/') ? qdev : `/machine/peripheral/${qdev}`;
  const text = (property: string) =>
    orNothing(link.call(QMP.textProperty, { path, property }, signal));
  const bytes = link.call(QMP.numberProperty, { path, property: 'logical_block_size' }, signal);
  const sector = await orNothing(bytes);
  const serial = await text('serial');
  return {
    type: (await text('type')) ?? '',
    serial: serial === '' ? undefined : serial,
    sectorBytes: sector === 4096 ? 4096 : 512,
  };
}

/** Not every device has every property. */
export async function orNothing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (cause) {
    if (!(cause instanceof QmpError)) throw cause;
    return undefined;
  }
}

const BUSES: readonly (readonly [RegExp, DiskBus])[] = [
  [/^virtio-blk/, 'virtio'],
  [/^scsi-/, 'scsi'],
  [/^ide-/, 'ide'],
  [/^nvme/, 'nvme'],
  [/^usb-/, 'usb'],
];

function busOf(type: string): DiskBus {
  return BUSES.find(([pattern]) => pattern.test(type))?.[1] ?? 'other';
}

/** A temporary file of QEMU's own, which takes all writes ("-snapshot", "snapshot=on"). */
const TEMPORARY = /^vl\.\w{6}$/;

function excludedOf(
  { isRemovable, medium }: QmpDrive,
  { name, type }: { readonly name: string; readonly type: string },
): Exclusion | undefined {
  if (isRemovable || !medium) {
    return { reason: 'removable', detail: `${name} is a drive whose medium can be changed` };
  }
  if (type === 'scsi-block' || type === 'scsi-generic') {
    const detail = `${name} is passed through to the guest, past QEMU: back it up from inside`;
    return { reason: 'pass-through', detail };
  }
  if (TEMPORARY.test(basename(medium.file))) {
    const detail = `what is written to ${name} is thrown away when the machine is turned off`;
    return { reason: 'independent', detail };
  }
  return undefined;
}
