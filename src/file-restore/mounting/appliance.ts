import { GranularError } from '../base/file-restore-error.ts';
import { type ApplianceShell, openApplianceShell, type ShellOptions } from './appliance-shell.ts';
import { unmount } from './mounts.ts';
import { printable } from '../../lib/printable.ts';
import { type GroupMember, type SeparatedGroups, separateGroups } from './volume-groups.ts';
import { isContainer, isLocked, kindOf, safeName, type Volume } from '../volumes/volumes.ts';
import type { VolumeKind } from '../volumes/volume-kinds.ts';

/*
 * A small VM (libguestfs) that has volumes as its disks and reads those that the kernel of this host cannot, or must
 * not. It gets only the volumes for which it is needed: each disk costs time, and the kernel inside need not
 * understand the tables. Volumes are read-only; writes of its file systems, such as a replayed journal, go to
 * overlays that are discarded.
 */

/** Returns the key of a locked volume; undefined: there is none, and the volume stays locked. */
export type KeySource = (volume: Volume) => Promise<Uint8Array | undefined>;

export interface ApplianceOptions extends Omit<ShellOptions, 'emulated'> {
  readonly keys: KeySource;
}

export interface Appliance extends AsyncDisposable {
  /** Whether the VM was launched with this volume, or has found it. */
  has(volume: Volume): boolean;
  /**
   * Takes `volumes` as seen from outside, and adds those found in containers. An unlocked volume is replaced by its
   * contents; others stay as they are.
   */
  openContainers(volumes: readonly Volume[]): Promise<Volume[]>;
  /** Shows volumes (driver `guestfs`) as directories under their names in the existing `directory`; only once. */
  show(volumes: readonly Volume[], directory: string): Promise<ShownVolumes>;
}

export interface ShownVolumes extends AsyncDisposable {
  /** Volumes that could not be mounted, and why. */
  readonly failed: ReadonlyMap<Volume, GranularError>;
  /** Volumes whose journal could not be replayed: they are shown as they are on the disk. */
  readonly unreplayed: ReadonlySet<Volume>;
}

/** The first start on a machine builds the VM. */
const LAUNCH_MS = 300_000;
/** Key derivations are made to be slow, and emulation makes them slower. */
const UNLOCK_MS = 300_000;
const MOUNT_MS = 180_000;
/** How deep containers may be nested. */
const DEPTH_MAX = 4;
/** Cache time for directory listings; contents do not change. */
const CACHE_SECONDS = 600;

/** Whether /dev/kvm exists but cannot start a VM: found out once, and a property of this host. */
const acceleration = { fails: false };

/** A VM has one controller, with the VM's own disk on it (libguestfs, guestfs_max_disks). */
const VOLUMES_MAX = 255;

/** `volumes`: partitions and whole disks, in the order in which groups with the same name keep it. */
export async function launchAppliance(
  volumes: readonly Volume[],
  options: ApplianceOptions,
): Promise<Appliance> {
  const paths = volumes.flatMap(({ place }) => (place.kind === 'partition' ? [place.path] : []));
  if (paths.length > VOLUMES_MAX) {
    const what = `${paths.length} volumes are too many for one VM, which can have ${VOLUMES_MAX}`;
    throw new GranularError('UNSUPPORTED', `${what}: ask for one disk, or one volume`);
  }
  const shell = await launch(paths, options);
  await using stack = new AsyncDisposableStack();
  stack.use(shell);
  const devices = lines(await shell.ask(['list-devices']));
  if (devices.length < paths.length) {
    throw new GranularError(
      'FAILED',
      `the appliance has ${devices.length} of ${paths.length} volumes`,
    );
  }
  /** The VM's name of a volume that was seen from outside, or found inside. */
  function deviceOf({ place }: Volume): string {
    return place.kind === 'device' ? place.device : devices[paths.indexOf(place.path)]!;
  }
  const has = ({ place }: Volume): boolean => place.kind === 'device' || paths.includes(place.path);
  const owned = stack.move();
  return {
    has,
    openContainers: (given) => openContainers(shell, given, { keys: options.keys, has, deviceOf }),
    show: (given, directory) => show(shell, { volumes: given, directory, deviceOf }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function launch(
  paths: readonly string[],
  options: ApplianceOptions,
): Promise<ApplianceShell> {
  if (!acceleration.fails) {
    try {
      return await start(paths, { ...options, emulated: false });
    } catch (cause) {
      const isOurs =
        cause instanceof GranularError && (cause.code === 'FAILED' || cause.code === 'TIMEOUT');
      if (!isOurs) throw cause;
    }
  }
  const shell = await start(paths, { ...options, emulated: true });
  acceleration.fails = true;
  return shell;
}

async function start(paths: readonly string[], options: ShellOptions): Promise<ApplianceShell> {
  await using stack = new AsyncDisposableStack();
  const shell = stack.use(await openApplianceShell(options));
  for (const path of paths) {
    await shell.ask(['add-drive', path, 'readonly:true', 'format:raw']);
  }
  // If the overlays have no space, writes inside fail: by default the VM would pause forever.
  await shell.ask(['config', '-global', 'scsi-hd.werror=report']);
  await shell.ask(['run'], { timeoutMs: LAUNCH_MS });
  const owned = stack.move();
  return { ...shell, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface Containers {
  readonly keys: KeySource;
  readonly has: (volume: Volume) => boolean;
  readonly deviceOf: (volume: Volume) => string;
}

async function openContainers(
  shell: ApplianceShell,
  given: readonly Volume[],
  { keys, has, deviceOf }: Containers,
): Promise<Volume[]> {
  let volumes = [...given];
  const tried = new Set<string>();
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    const { found, failed } = await foundInside(shell, volumes, { has, deviceOf });
    volumes = [
      ...volumes.map((it) => (failed.has(it) ? unopened(it, failed.get(it)!) : it)),
      ...found,
    ];
    const locked = volumes.filter((it) => has(it) && isLocked(it) && !tried.has(it.name));
    for (const volume of locked) {
      tried.add(volume.name);
      const key = await keys(volume);
      if (!key) continue;
      const opened = await unlock(shell, { volume, key, device: deviceOf(volume) });
      volumes = volumes.map((it) => (it === volume ? opened : it));
    }
    if (found.length === 0 && locked.length === 0) break;
  }
  return volumes;
}

function unopened(volume: Volume, reason: string): Volume {
  return { ...volume, driver: { kind: 'none', reason: `${volume.name}: ${reason}` } };
}

async function unlock(
  shell: ApplianceShell,
  {
    volume,
    key,
    device,
  }: { readonly volume: Volume; readonly key: Uint8Array; readonly device: string },
): Promise<Volume> {
  const map = `open-${volume.name}`;
  if (key.length === 0 || key.includes(0) || key.includes(10)) {
    throw new GranularError('WRONG_KEY', `this cannot be the key of ${volume.name}`);
  }
  try {
    await shell.ask(['cryptsetup-open', device, map], { key, timeoutMs: UNLOCK_MS });
  } catch (cause) {
    if (!(cause instanceof GranularError) || cause.code !== 'FAILED') throw cause;
    const { message } = cause;
    const isWrong = /No key available|Operation not permitted|passphrase/i.test(message);
    // A damaged volume does not prevent access to the others.
    if (!isWrong) return unopened(volume, message);
    const what = `wrong key for ${volume.name} (${volume.found})`;
    throw new GranularError('WRONG_KEY', what, { cause });
  }
  const opened = `/dev/mapper/${map}`;
  const inside = await describe(shell, opened);
  return {
    ...volume,
    ...inside,
    found: `${inside.found} in ${volume.found}`,
    place: { kind: 'device', device: opened },
  };
}

interface Found {
  readonly found: readonly Volume[];
  /** Physical volumes that cannot be used, and why. */
  readonly failed: ReadonlyMap<Volume, string>;
}

/** Logical volumes and RAID arrays that are not among `known`. */
async function foundInside(
  shell: ApplianceShell,
  known: readonly Volume[],
  { has, deviceOf }: Pick<Containers, 'has' | 'deviceOf'>,
): Promise<Found> {
  const members = known.filter((it) => it.kind === 'LVM2_member' && has(it));
  const { logical, disks, failed } = await logicalVolumes(
    shell,
    members.map((volume) => ({ volume, device: deviceOf(volume) })),
  );
  const arrays = lines(await shell.ask(['list-md-devices']));
  const isNew = (device: string): boolean =>
    !known.some(({ place }) => place.kind === 'device' && place.device === device);
  const found: Volume[] = [];
  for (const device of [...logical, ...arrays].filter(isNew)) {
    const path = device.replace(/^\/dev\//, '');
    const group = path.split('/')[0]!;
    const taken = new Set([...known, ...found].map(({ name }) => name));
    const name = safeName(path.replaceAll('/', '-'));
    const first = known.find(has)!.disk;
    found.push({
      name: taken.has(name) ? `${name}-${taken.size}` : name,
      disk: logical.includes(device)
        ? (disks.get(group) ?? (await diskOf(shell, group, members)) ?? first)
        : first,
      place: { kind: 'device', device },
      ...(await describe(shell, device)),
      aside: undefined,
    });
  }
  return { found, failed };
}

async function logicalVolumes(
  shell: ApplianceShell,
  members: readonly GroupMember[],
): Promise<SeparatedGroups & { readonly logical: readonly string[] }> {
  try {
    const groups = await separateGroups(shell, members);
    await shell.ask(['lvm-scan', 'true']);
    return { ...groups, logical: lines(await shell.ask(['lvs'])) };
  } catch (cause) {
    if (!(cause instanceof GranularError) || cause.code !== 'FAILED') throw cause;
    const { message } = cause;
    const failed = new Map(members.map(({ volume }) => [volume, message] as const));
    return { logical: [], disks: new Map(), failed };
  }
}

/** The disk on which the first physical volume of a group lies. */
async function diskOf(
  shell: ApplianceShell,
  group: string,
  members: readonly Volume[],
): Promise<string | undefined> {
  const uuids = lines(await shell.ask(['vgpvuuids', group]).catch(() => ''));
  const plain = (uuid: string | undefined): string => (uuid ?? '').replaceAll('-', '');
  const isPart = (it: Volume): boolean => uuids.some((uuid) => plain(uuid) === plain(it.uuid));
  return members.find(isPart)?.disk;
}

type Description = Pick<Volume, 'kind' | 'found' | 'label' | 'uuid' | 'size' | 'driver'>;

async function describe(shell: ApplianceShell, device: string): Promise<Description> {
  const quietly = (...words: string[]): Promise<string> => shell.ask(words).catch(() => '');
  const type = printable((await quietly('vfs-type', device)).trim());
  const kind: VolumeKind = kindOf(type);
  const text = (value: string): string | undefined => printable(value.trim()) || undefined;
  const size = Number(await quietly('blockdev-getsize64', device));
  return {
    kind,
    found: type === '' ? 'nothing that is recognised' : type,
    label: text(await quietly('vfs-label', device)),
    uuid: text(await quietly('vfs-uuid', device)),
    size: Number.isSafeInteger(size) && size > 0 ? size : undefined,
    driver: await driverOf(kind, type, quietly),
  };
}

async function driverOf(
  kind: VolumeKind,
  type: string,
  quietly: (...words: string[]) => Promise<string>,
): Promise<Volume['driver']> {
  if (kind === 'swap') return { kind: 'none', reason: 'swap space holds no files' };
  if (type === '') return { kind: 'none', reason: 'nothing that is recognised' };
  if (kind === 'unknown' && (await quietly('filesystem-available', type)).trim() === 'false') {
    return { kind: 'none', reason: `${type}: the kernel of the VM has no driver for it` };
  }
  return { kind: isContainer(kind) ? 'container' : 'guestfs' };
}

/** Mount options of the first and later tries; default: the driver is detected. */
const MOUNTS: Readonly<Partial<Record<VolumeKind, readonly (readonly string[])[]>>> = {
  // If the journal cannot be replayed, the next try does without.
  ext3: [
    ['ro', 'ext4'],
    ['ro,noload', 'ext4'],
  ],
  ext4: [
    ['ro', 'ext4'],
    ['ro,noload', 'ext4'],
  ],
  xfs: [
    ['ro,nouuid', 'xfs'],
    ['ro,nouuid,norecovery', 'xfs'],
  ],
  btrfs: [
    ['ro,subvolid=5', 'btrfs'],
    ['ro,subvolid=5,rescue=nologreplay', 'btrfs'],
  ],
  ntfs: [['ro,norecover,streams_interface=xattr', 'ntfs-3g']],
  vfat: [['ro,utf8', 'vfat']],
};

interface Showing {
  readonly volumes: readonly Volume[];
  readonly directory: string;
  readonly deviceOf: (volume: Volume) => string;
}

async function show(
  shell: ApplianceShell,
  { volumes, directory, deviceOf }: Showing,
): Promise<ShownVolumes> {
  const failed = new Map<Volume, GranularError>();
  const unreplayed = new Set<Volume>();
  for (const volume of volumes) {
    const point = `/${volume.name}`;
    await shell.ask(['mkmountpoint', point]);
    try {
      const isFirst = await mountInside(shell, volume.kind, deviceOf(volume), point);
      if (!isFirst) unreplayed.add(volume);
    } catch (cause) {
      if (!(cause instanceof GranularError) || cause.code !== 'FAILED') throw cause;
      const { message } = cause;
      const what = `${volume.name} (${volume.found}) cannot be mounted: ${message}`;
      failed.set(volume, new GranularError('UNREADABLE', what, { cause }));
    }
  }
  const options = ['readonly:true', `cachetimeout:${CACHE_SECONDS}`, 'options:use_ino'];
  await shell.ask(['mount-local', directory, ...options]);
  // It serves until it is unmounted; then the mark is printed.
  shell.say(['mount-local-run']);
  return { failed, unreplayed, [Symbol.asyncDispose]: () => unmount(directory) };
}

/** Resolves with whether the first way of mounting succeeded. */
async function mountInside(
  shell: ApplianceShell,
  kind: VolumeKind,
  device: string,
  point: string,
): Promise<boolean> {
  const timeoutMs = MOUNT_MS;
  let first: unknown;
  for (const [options, type] of MOUNTS[kind] ?? []) {
    try {
      await shell.ask(['mount-vfs', options!, type!, device, point], { timeoutMs });
      return first === undefined;
    } catch (cause) {
      first ??= cause;
    }
  }
  try {
    await shell.ask(['mount-ro', device, point], { timeoutMs });
    return true;
  } catch (cause) {
    throw first ?? cause;
  }
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
