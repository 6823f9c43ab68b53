import { basename } from 'node:path/posix';
import type { Machine } from '../base/machine.ts';
import { jsonOutput, output, type RunProgram } from '../base/programs.ts';

/* The disks, their contents and their health: by lsblk, and smartctl where it is installed. */

export interface Disk {
  /** `sda`: the name in /dev. */
  readonly name: string;
  readonly model: string | null;
  readonly serial: string | null;
  /** Size in bytes. */
  readonly size: number;
  /** `sata`, `nvme`, `usb` ... */
  readonly bus: string | null;
  readonly spins: boolean;
  /** Contents in words: `vfat on sda1 at /boot/efi`. */
  readonly holds: readonly string[];
  /** Mounted, used as swap, or part of a device that is. */
  readonly inUse: boolean;
  readonly health: DiskHealth;
}

export interface DiskHealth {
  readonly state: 'good' | 'failing' | 'unknown';
  /** Details for people. */
  readonly detail: string;
}

interface BlockDevice {
  readonly name?: string;
  readonly type?: string;
  readonly size?: number;
  readonly model?: string | null;
  readonly serial?: string | null;
  readonly rota?: boolean;
  readonly tran?: string | null;
  readonly ro?: boolean;
  readonly fstype?: string | null;
  readonly label?: string | null;
  readonly pttype?: string | null;
  readonly mountpoints?: readonly (string | null)[];
  readonly children?: readonly BlockDevice[];
}

const COLUMNS = 'NAME,TYPE,SIZE,MODEL,SERIAL,ROTA,TRAN,RO,FSTYPE,LABEL,PTTYPE,MOUNTPOINTS';
const SMART_MS = 20_000;
/** smartctl(8): bits of its exit code. A wrong command line, and a device that could not be opened. */
const SMART_CANNOT = 0b11;

export async function listDisks({ run }: Machine): Promise<Disk[]> {
  const disks = (await readDevices(run)).filter(isDisk);
  return await Promise.all(
    disks.map(async (it) => ({ ...diskOf(it), health: await health(run, it) })),
  );
}

/** Finds a disk by its name; undefined: there is none. */
export async function findDisk(
  run: RunProgram,
  name: string,
): Promise<Omit<Disk, 'health'> | undefined> {
  const found = (await readDevices(run)).find((it) => it.name === name);
  if (!found || !isDisk(found)) return undefined;
  return withMarks(run, diskOf(found), `/dev/${name}`);
}

/** Describes a disk, a partition or a volume, by its path. */
export async function lookAtDevice(run: RunProgram, path: string): Promise<Omit<Disk, 'health'>> {
  const [found] = await readDevices(run, path);
  return withMarks(run, diskOf({ name: basename(path), ...found }), path);
}

async function withMarks(
  run: RunProgram,
  disk: Omit<Disk, 'health'>,
  path: string,
): Promise<Omit<Disk, 'health'>> {
  if (disk.holds.length > 0) return disk;
  // Signatures that lsblk did not learn from udev.
  const marks = await output(run, 'wipefs', ['--noheadings', '--output', 'TYPE', path]);
  return { ...disk, holds: marks.split('\n').filter((it) => it.trim() !== '') };
}

async function readDevices(run: RunProgram, path?: string): Promise<readonly BlockDevice[]> {
  const one = path === undefined ? [] : ['--', path];
  const args = ['--json', '--bytes', '--output', COLUMNS, ...one];
  const found = (await jsonOutput(run, 'lsblk', args)) as { readonly blockdevices?: BlockDevice[] };
  return found.blockdevices ?? [];
}

/** Excludes empty and read-only devices, such as a CD. A loop device counts: an administrator made it as a disk. */
function isDisk({ type, size = 0, ro, name }: BlockDevice): boolean {
  const isKind = type === 'disk' || type === 'loop';
  return (
    isKind && size > 0 && ro !== true && name !== undefined && !/^(zram|nbd|ram|fd)/.test(name)
  );
}

function diskOf(it: BlockDevice): Omit<Disk, 'health'> {
  return {
    name: it.name!,
    model: trimmed(it.model),
    serial: trimmed(it.serial),
    size: it.size ?? 0,
    bus: trimmed(it.tran),
    spins: it.rota === true,
    holds: holdings(it),
    inUse: isUsed(it),
  };
}

function holdings(it: BlockDevice): string[] {
  const children = (it.children ?? []).flatMap(holdings);
  const places = (it.mountpoints ?? []).filter((place) => place !== null);
  const at = places.length > 0 ? ` at ${places.join(', ')}` : '';
  const label = trimmed(it.label) === null ? '' : ` "${trimmed(it.label)}"`;
  if (trimmed(it.fstype) !== null) return [`${it.fstype}${label} on ${it.name}${at}`, ...children];
  if (children.length === 0 && it.type === 'part') return [`unknown on ${it.name}`];
  const isTable = trimmed(it.pttype) !== null && children.length === 0 && it.type !== 'part';
  return isTable ? [`an empty partition table (${it.pttype}) on ${it.name}`] : children;
}

function isUsed({ mountpoints = [], children = [], type }: BlockDevice): boolean {
  const isBuilt = !['disk', 'part', 'loop'].includes(type ?? '');
  return isBuilt || mountpoints.some((place) => place !== null) || children.some(isUsed);
}

async function health(run: RunProgram, { name, type }: BlockDevice): Promise<DiskHealth> {
  if (type === 'loop') return { state: 'unknown', detail: 'a file' };
  const args = ['--json', '--health', '--attributes', `/dev/${name}`];
  let found: Smart;
  try {
    const { code, stdout } = await run('smartctl', args, { timeoutMs: SMART_MS });
    if ((code & SMART_CANNOT) !== 0) return { state: 'unknown', detail: 'not reported (no SMART)' };
    found = JSON.parse(stdout) as Smart;
  } catch (cause) {
    // A disk that does not answer, or a missing program, must not hide the other disks.
    return { state: 'unknown', detail: (cause as Error).message };
  }
  const passed = found.smart_status?.passed;
  const hours = found.power_on_time?.hours;
  const degrees = found.temperature?.current;
  const words = [
    passed === undefined ? 'not reported' : passed ? 'SMART passed' : 'SMART reports a failure',
    ...(degrees === undefined ? [] : [`${degrees} C`]),
    ...(hours === undefined ? [] : [`${hours} h`]),
  ];
  const state = passed === undefined ? 'unknown' : passed ? 'good' : 'failing';
  return { state, detail: words.join(', ') };
}

interface Smart {
  readonly smart_status?: { readonly passed?: boolean };
  readonly power_on_time?: { readonly hours?: number };
  readonly temperature?: { readonly current?: number };
}

function trimmed(text: string | null | undefined): string | null {
  const found = text?.trim() ?? '';
  return found === '' ? null : found;
}
