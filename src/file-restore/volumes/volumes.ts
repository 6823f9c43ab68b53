import type { DiskFiles } from './disk-files.ts';
import { fileSystemDriver, KERNEL_DRIVERS } from './drivers.ts';
import { GranularError, type GranularErrorCode } from '../base/file-restore-error.ts';
import { type Partition, type PartitionTable, readPartitions } from './partitions.ts';
import { printable } from '../../lib/printable.ts';
import { decoded, probe, type Signatures } from './signatures.ts';
import type { VolumeKind, VolumeDriver } from './volume-kinds.ts';

export interface Volume {
  /** `vda1`; `vda` for a disk without a table; `vg-lv`. Letters, digits, `.`, `_`, `+` and `-`; unique. */
  readonly name: string;
  /** The machine's disk on which it lies, or begins. */
  readonly disk: string;
  readonly place:
    | { readonly kind: 'partition'; readonly number: number; readonly path: string }
    /** A device inside an appliance. */
    | { readonly kind: 'device'; readonly device: string };
  /** Size in bytes; undefined: not determined. */
  readonly size: number | undefined;
  readonly kind: VolumeKind;
  /** For people: `ext4`, `swap`, `nothing that is recognised (Microsoft reserved)`. */
  readonly found: string;
  readonly label: string | undefined;
  readonly uuid: string | undefined;
  readonly driver: VolumeDriver;
  /** Why it is opened only when requested by name; undefined: it is opened with the others. */
  readonly aside: string | undefined;
}

export interface FindVolumesOptions {
  /** Opens every file system in a VM of its own, for untrusted contents. */
  readonly isolated: boolean;
  readonly signal?: AbortSignal;
}

const CONTAINERS: readonly VolumeKind[] = [
  'LVM2_member',
  'crypto_LUKS',
  'BitLocker',
  'linux_raid_member',
];
const KINDS: ReadonlySet<string> = new Set([
  ...Object.keys(KERNEL_DRIVERS),
  ...CONTAINERS,
  'ntfs',
  'swap',
]);

/** Common names of partitions without a file system, by type. */
const PARTITION_TYPES: Readonly<Record<string, string>> = {
  '21686148-6449-6E6F-744E-656564454649': 'BIOS boot',
  'E3C9E316-0B5C-4DB8-817D-F92DF00215AE': 'Microsoft reserved',
  '5808C8AA-7E8F-42E0-85D2-E1E90434CFB3': 'Windows LDM metadata',
  'AF9B60A0-1431-4F62-BC68-3311714A69AD': 'Windows LDM data',
  'E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D': 'Windows Storage Spaces',
  '42': 'Windows LDM',
};

/**
 * The contents of the partitions of `disks`, seen from outside: only an appliance sees into containers. An unreadable
 * disk or partition becomes a volume that cannot be opened.
 */
export async function findVolumes(
  disks: readonly DiskFiles[],
  options: FindVolumesOptions,
): Promise<Volume[]> {
  const volumes: Volume[] = [];
  for (const disk of disks) {
    try {
      volumes.push(...(await volumesOn(disk, options)));
    } catch (cause) {
      volumes.push(unreadable({ disk, number: 0, size: undefined }, cause));
    }
  }
  return volumes;
}

async function volumesOn(disk: DiskFiles, options: FindVolumesOptions): Promise<Volume[]> {
  const table = await readPartitions(disk.path, options.signal);
  const volumes: Volume[] = [];
  for (const partition of table.partitions) {
    const volume = await volumeOn(disk, partition, options);
    if (partition.number > 0 || table.scheme === 'none') volumes.push(volume);
    else volumes.push(...besideTable(volume, table));
  }
  const odd = table.odd.map(({ number, reason }) =>
    unreadable({ disk, number, size: undefined }, new GranularError('UNREADABLE', reason)),
  );
  return [...volumes, ...odd];
}

/**
 * A whole disk with both a signature and a partition table: images of CDs have both, since ISO 9660 leaves the first
 * 32 KiB to others; other file systems are mostly remains from before the table was made.
 */
function besideTable(volume: Volume, { scheme }: PartitionTable): Volume[] {
  const { kind, driver } = volume;
  if (kind === 'iso9660' || kind === 'udf') return [volume];
  if (kind === 'swap' || driver.kind === 'container') return [];
  const aside = `the disk has a partition table (${scheme}), and this may be a remnant from before it was made`;
  return [{ ...volume, aside }];
}

async function volumeOn(
  disk: DiskFiles,
  partition: Partition,
  options: FindVolumesOptions,
): Promise<Volume> {
  const { number, length: size } = partition;
  try {
    const seen = describe(await probe(pathOf(disk, number), options.signal), partition);
    const { kind, found, label, uuid } = seen;
    const driver = await driverFor(seen, options);
    return {
      ...placeOf({ disk, number, size }),
      kind,
      found,
      label,
      uuid,
      driver,
      aside: undefined,
    };
  } catch (cause) {
    return unreadable({ disk, number, size }, cause);
  }
}

interface Spot {
  readonly disk: DiskFiles;
  readonly number: number;
  readonly size: number | undefined;
}

function placeOf({ disk, number, size }: Spot): Pick<Volume, 'name' | 'disk' | 'place' | 'size'> {
  return {
    name: safeName(number === 0 ? disk.disk : `${disk.disk}${number}`),
    disk: disk.disk,
    place: { kind: 'partition', number, path: pathOf(disk, number) },
    size,
  };
}

function pathOf(disk: DiskFiles, number: number): string {
  return number === 0 ? disk.path : disk.partition(number);
}

/** Errors that would occur with any disk. */
const NOT_OF_THE_DISK: readonly GranularErrorCode[] = ['TOOL_MISSING', 'INTERRUPTED', 'DENIED'];

/** Throws errors that are not the disk's fault. */
function unreadable(spot: Spot, cause: unknown): Volume {
  if (!(cause instanceof GranularError) || NOT_OF_THE_DISK.includes(cause.code)) throw cause;
  return {
    ...placeOf(spot),
    kind: 'unknown',
    found: 'unreadable',
    label: undefined,
    uuid: undefined,
    driver: { kind: 'none', reason: withoutPaths(cause.message, spot) },
    aside: undefined,
  };
}

/** Removes paths of served disks, which mean nothing to people. */
function withoutPaths(message: string, spot: Spot): string {
  const { name } = placeOf(spot);
  return message
    .replaceAll(pathOf(spot.disk, spot.number), name)
    .replaceAll(spot.disk.path, spot.disk.disk);
}

/** The volume of that name; the message of NOT_FOUND lists all names. */
export function volumeNamed(volumes: readonly Volume[], name: string): Volume {
  const found = volumes.find((it) => it.name === name);
  if (found) return found;
  const all = volumes.map((it) => `${it.name} (${it.found})`).join(', ');
  throw new GranularError(
    'NOT_FOUND',
    `there is no volume ${printable(name)}; there is ${all === '' ? 'none' : all}`,
  );
}

/** The kind for a tool's name of it. */
export function kindOf(type: string): VolumeKind {
  // The VM calls FAT by its variants.
  if (type === 'msdos' || type === 'fat') return 'vfat';
  return KINDS.has(type) ? (type as VolumeKind) : 'unknown';
}

/** Whether only an appliance can open it. */
export function isContainer(kind: VolumeKind): boolean {
  return CONTAINERS.includes(kind);
}

/** Whether it needs a key. */
export function isLocked({ kind }: Volume): boolean {
  return kind === 'crypto_LUKS' || kind === 'BitLocker';
}

/** Makes a name from a disk safe for directories and arguments. */
export function safeName(name: string): string {
  return name.replace(/[^A-Za-z0-9._+-]/g, '_').replace(/^[.-]/, '_');
}

type Seen = Pick<Volume, 'kind' | 'found' | 'label' | 'uuid'> & {
  /** Whether it is a file system, not a container or a part of one. */
  readonly isFileSystem: boolean;
};

function describe(fields: Signatures, { type }: Partition): Seen {
  const fsType = fields['ID_FS_TYPE'];
  const version = fields['ID_FS_VERSION'];
  const isVersioned = fsType === 'crypto_LUKS' && version !== undefined;
  return {
    kind: kindOf(fsType ?? ''),
    found: printable(
      fsType === undefined ? other(fields, type) : isVersioned ? `${fsType} ${version}` : fsType,
    ),
    label: decoded(fields['ID_FS_LABEL_ENC']),
    uuid: decoded(fields['ID_FS_UUID_ENC']),
    isFileSystem: fields['ID_FS_USAGE'] === 'filesystem',
  };
}

function other(fields: Signatures, type: string | undefined): string {
  const several = fields['SEVERAL'];
  if (several !== undefined) return `several signatures at once (${several})`;
  const table = fields['ID_PART_TABLE_TYPE'];
  if (table !== undefined) return `a partition table (${table}) inside a partition`;
  const name = PARTITION_TYPES[type ?? ''];
  return `nothing that is recognised${name === undefined ? '' : ` (${name})`}`;
}

async function driverFor(
  { kind, found, isFileSystem }: Seen,
  options: FindVolumesOptions,
): Promise<VolumeDriver> {
  if (kind === 'swap') return { kind: 'none', reason: 'swap space holds no files' };
  if (isContainer(kind)) return { kind: 'container' };
  if (!isFileSystem) return { kind: 'none', reason: `${found}: no program here can open it` };
  return fileSystemDriver({ kind, type: found }, options);
}
