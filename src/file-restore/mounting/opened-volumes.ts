import { type Appliance, type KeySource, launchAppliance } from './appliance.ts';
import type { DiskFiles } from '../volumes/disk-files.ts';
import { GranularError } from '../base/file-restore-error.ts';
import { bindMount, type MountOptions, mountVolume } from './mounts.ts';
import { lastWords, runProgram } from '../base/programs.ts';
import { findVolumes, isLocked, type Volume, volumeNamed } from '../volumes/volumes.ts';

/** Volumes of a machine, mounted; disposing unmounts them. */
export interface OpenedVolumes extends AsyncDisposable {
  /** All volumes that were found, including those that were not requested or cannot be opened. */
  readonly volumes: readonly Volume[];
  readonly mounted: readonly { readonly volume: Volume; readonly path: string }[];
  readonly failed: readonly { readonly volume: Volume; readonly reason: string }[];
}

export interface OpenVolumesOptions extends MountOptions {
  /** An existing directory; volumes appear in it under their names. */
  readonly directory: string;
  /** An existing private directory for an appliance. */
  readonly work: string;
  readonly isolated: boolean;
  readonly keys: KeySource;
  /** The name of the requested volume; undefined: all. */
  readonly wanted: string | undefined;
  /** The disk whose volumes are shown; undefined: all. */
  readonly disk: string | undefined;
  /** Called before anything is mounted, with the directories that will be made, and must be unmounted and removed. */
  readonly onDirectories?: (paths: readonly string[]) => Promise<void>;
}

const MAKE_MS = 30_000;
/** EUCLEAN: the kernel recognized the file system and found it damaged. */
const DAMAGED = /Structure needs cleaning/;

/**
 * Finds and mounts the volumes in `disks` (all of a machine's, since volume groups span them). If one volume is
 * requested its failure is thrown; otherwise volumes that cannot be mounted are in `failed`.
 */
export async function openVolumes(
  disks: readonly DiskFiles[],
  options: OpenVolumesOptions,
): Promise<OpenedVolumes> {
  const { directory, wanted } = options;
  await using stack = new AsyncDisposableStack();
  const { volumes, appliance, keys } = await discover(disks, options, stack);
  const chosen = wanted === undefined ? ofDisk(volumes, options) : [volumeNamed(volumes, wanted)];
  const whyNot = wanted === undefined ? notOpened : notOpenedAtAll;
  const failed = chosen.flatMap((volume) => {
    const reason = whyNot(volume);
    return reason === undefined ? [] : [{ volume, reason }];
  });
  if (wanted !== undefined && failed.length > 0) {
    throw notOpenable(failed[0]!.volume, failed[0]!.reason);
  }
  const plan = chosen
    .filter((it) => whyNot(it) === undefined)
    .map((volume) => ({ volume, path: `${directory}/${volume.name}` }));
  const mounted: Planned[] = [];
  const place = { volumes, mounted, failed, keys, stack, options };
  await makePlaces(
    place,
    plan.map(({ path }) => path),
  );
  const refused = await mountOutside(plan, place);
  const inside = plan.filter(({ volume }) => volume.driver.kind === 'guestfs');
  const isThere = ({ volume }: Planned): boolean => appliance?.has(volume) === true;
  const insidePlace = { ...place, refused };
  if (appliance) await mountInside(async () => appliance, inside.filter(isThere), insidePlace);
  const rest = [...inside.filter((it) => !isThere(it)), ...refused.keys()];
  await mountInside(() => another(rest, place), rest, insidePlace);
  const owned = stack.move();
  return {
    volumes,
    mounted: mounted.toSorted((a, b) => (a.volume.name < b.volume.name ? -1 : 1)),
    failed,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Lists the volumes, and why they could not be opened; nothing is mounted. */
export async function lookForVolumes(
  disks: readonly DiskFiles[],
  options: DiscoverOptions,
): Promise<{ readonly volume: Volume; readonly closed: string | undefined }[]> {
  await using stack = new AsyncDisposableStack();
  const { volumes } = await discover(disks, options, stack);
  return ofDisk(volumes, options).map((volume) => ({ volume, closed: notOpened(volume) }));
}

type DiscoverOptions = Pick<OpenVolumesOptions, 'work' | 'isolated' | 'disk' | 'wanted'> &
  Pick<OpenVolumesOptions, 'signal' | 'keys'>;

interface Discovered {
  readonly volumes: readonly Volume[];
  /** Owned by the stack; undefined: none was needed so far. */
  readonly appliance: Appliance | undefined;
  readonly keys: KeySource;
}

async function discover(
  disks: readonly DiskFiles[],
  options: DiscoverOptions,
  stack: AsyncDisposableStack,
): Promise<Discovered> {
  const { wanted } = options;
  const keys = askingOnce(options.keys);
  const outside = await findOutside(disks, options);
  const known = outside.find(({ name }) => name === wanted);
  // A VM takes seconds to start: not for a volume that can be opened without it, nor for other disks than the
  // requested one.
  const isPlain = known !== undefined && known.driver.kind !== 'container';
  if (isPlain || !(await isPacked(ofDisk(outside, options), keys))) {
    return { volumes: outside, appliance: undefined, keys };
  }
  const containers = outside.filter(({ driver }) => driver.kind === 'container');
  const guests = ofDisk(outside, options).filter(({ driver }) => driver.kind === 'guestfs');
  const attached = outside.filter(
    (it) => containers.includes(it) || (wanted === undefined && guests.includes(it)),
  );
  try {
    const appliance = stack.use(
      await launchAppliance(attached, { ...applianceOptions(options), keys }),
    );
    return { volumes: await appliance.openContainers(outside), appliance, keys };
  } catch (cause) {
    // A failure of containers does not prevent access to volumes that need no VM.
    if (wanted !== undefined || !isOfTheAppliance(cause)) throw cause;
    const closed = (it: Volume): Volume =>
      it.driver.kind === 'container'
        ? { ...it, driver: { kind: 'none', reason: cause.message } }
        : it;
    return { volumes: outside.map(closed), appliance: undefined, keys };
  }
}

/** Other disks than the requested one matter only if its volumes may extend to them. */
async function findOutside(
  disks: readonly DiskFiles[],
  options: DiscoverOptions,
): Promise<readonly Volume[]> {
  const { disk, wanted } = options;
  if (disk === undefined) return findVolumes(disks, options);
  const own = await findVolumes(
    disks.filter((it) => it.disk === disk),
    options,
  );
  const maySpan = own.some(({ kind, driver }) => driver.kind === 'container' || kind === 'btrfs');
  const isThere = wanted === undefined || own.some(({ name }) => name === wanted);
  return isThere && !maySpan ? own : findVolumes(disks, options);
}

function isOfTheAppliance(cause: unknown): cause is GranularError {
  return (
    cause instanceof GranularError &&
    ['FAILED', 'TIMEOUT', 'TOOL_MISSING', 'UNSUPPORTED'].includes(cause.code)
  );
}

function applianceOptions({ work, signal }: DiscoverOptions) {
  return { directory: work, ...(signal && { signal }) };
}

function ofDisk(
  volumes: readonly Volume[],
  { disk }: Pick<OpenVolumesOptions, 'disk'>,
): readonly Volume[] {
  return disk === undefined ? volumes : volumes.filter((it) => it.disk === disk);
}

/** Uses the program `mkdir`, which sees the mounts of this namespace. */
export async function makeDirectories(
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  if (paths.length === 0) return;
  const options = { timeoutMs: MAKE_MS, ...(signal && { signal }) };
  const { code, stderr } = await runProgram('mkdir', ['--parents', '--', ...paths], options);
  if (code !== 0)
    throw new GranularError('DENIED', `cannot create directories: ${lastWords(stderr)}`);
}

/** Removes the empty ones. */
export async function removeDirectories(paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  // Nested ones first.
  const words = ['--ignore-fail-on-non-empty', '--', ...paths.toSorted().toReversed()];
  await runProgram('rmdir', words, { timeoutMs: MAKE_MS });
}

/** Asks for keys once, before a VM is started. */
function askingOnce(keys: KeySource): KeySource {
  const answers = new Map<string, ReturnType<KeySource>>();
  return (volume) => {
    const answer = answers.get(volume.name) ?? keys(volume);
    answers.set(volume.name, answer);
    return answer;
  };
}

/** Whether there is a container that an appliance could open. */
async function isPacked(volumes: readonly Volume[], keys: KeySource): Promise<boolean> {
  let found = false;
  for (const volume of volumes) {
    if (volume.driver.kind !== 'container') continue;
    found = !isLocked(volume) || (await keys(volume)) !== undefined || found;
  }
  return found;
}

interface Planned {
  readonly volume: Volume;
  readonly path: string;
}

interface Place {
  /** All volumes found. */
  readonly volumes: readonly Volume[];
  readonly mounted: Planned[];
  readonly failed: { volume: Volume; reason: string }[];
  readonly keys: KeySource;
  readonly stack: AsyncDisposableStack;
  readonly options: OpenVolumesOptions;
}

/** Makes directories that are unmounted and removed in any case. */
async function makePlaces({ stack, options }: Place, paths: readonly string[]): Promise<void> {
  await options.onDirectories?.(paths);
  stack.defer(() => removeDirectories(paths));
  await makeDirectories(paths, options.signal);
}

/** Mounts by this host's kernel and by ntfs-3g. Returns what the kernel refused, and why: a VM's may accept it. */
async function mountOutside(
  plan: readonly Planned[],
  { mounted, failed, stack, options }: Place,
): Promise<Map<Planned, GranularError>> {
  const refused = new Map<Planned, GranularError>();
  for (const planned of plan) {
    const { volume, path } = planned;
    if (volume.driver.kind === 'guestfs') continue;
    try {
      stack.use(await mountVolume(volume, path, options));
      mounted.push(planned);
    } catch (cause) {
      // An unreadable volume does not prevent access to the others; a missing program or right would.
      const isItsOwn = cause instanceof GranularError && cause.code === 'UNREADABLE';
      if (!isItsOwn) throw cause;
      const mayBeTheDriver = volume.driver.kind === 'kernel' && !DAMAGED.test(cause.message);
      if (mayBeTheDriver) refused.set(planned, cause);
      else if (options.wanted !== undefined) throw cause;
      else failed.push({ volume, reason: cause.message });
    }
  }
  return refused;
}

/** Launches a VM for these alone. A Btrfs may lie on several disks, and needs them all. */
async function another(
  guests: readonly Planned[],
  { volumes, keys, stack, options }: Place,
): Promise<Appliance> {
  const wanted = guests.map(({ volume }) => volume);
  const uuids = wanted.filter(({ kind }) => kind === 'btrfs').map(({ uuid }) => uuid ?? '');
  const isPart = ({ kind, uuid }: Volume): boolean =>
    kind === 'btrfs' && uuids.includes(uuid ?? '-');
  const attached = volumes.filter((it) => wanted.includes(it) || isPart(it));
  return stack.use(await launchAppliance(attached, { ...applianceOptions(options), keys }));
}

interface InsidePlace extends Place {
  /** Volumes that this host's kernel refused, and why. */
  readonly refused: ReadonlyMap<Planned, GranularError>;
}

/** A missing or failed VM does not prevent access to what is mounted without it. */
async function mountInside(
  launch: () => Promise<Appliance>,
  guests: readonly Planned[],
  place: InsidePlace,
): Promise<void> {
  if (guests.length === 0) return;
  const { mounted, failed, refused, options } = place;
  const isAlone = mounted.length === 0 && guests.every((it) => !refused.has(it));
  const fail = (planned: Planned, cause: GranularError): void => {
    const first = refused.get(planned);
    const reason = first ? `${first.message}; a VM cannot either: ${cause.message}` : cause.message;
    if (options.wanted === undefined) failed.push({ volume: planned.volume, reason });
    else throw first ? new GranularError('UNREADABLE', reason, { cause }) : cause;
  };
  try {
    await showInside(await launch(), guests, { place, fail });
  } catch (cause) {
    // If nothing else was mounted, the result is the reason why there is no VM.
    if (!isOfTheAppliance(cause) || isAlone) throw cause;
    const open = new Set(mounted.map(({ path }) => path));
    for (const planned of guests) if (!open.has(planned.path)) fail(planned, cause);
  }
}

async function showInside(
  appliance: Appliance,
  guests: readonly Planned[],
  {
    place,
    fail,
  }: { readonly place: Place; readonly fail: (planned: Planned, cause: GranularError) => void },
): Promise<void> {
  const { mounted, stack, options } = place;
  const all = `${options.work}/appliance-${guests[0]!.volume.name}`;
  await makePlaces(place, [all]);
  const volumes = guests.map(({ volume }) => volume);
  const shown = stack.use(await appliance.show(volumes, all));
  for (const planned of guests) {
    const { volume, path } = planned;
    const failure = shown.failed.get(volume);
    if (failure) {
      fail(planned, failure);
      continue;
    }
    stack.use(await bindMount(`${all}/${volume.name}`, path, options));
    const found = `${volume.found}, its journal not replayed`;
    mounted.push({ volume: shown.unreplayed.has(volume) ? { ...volume, found } : volume, path });
  }
}

/** Why a volume is not opened together with others. */
function notOpened(volume: Volume): string | undefined {
  const reason = notOpenedAtAll(volume);
  if (reason !== undefined || volume.aside === undefined) return reason;
  return `${volume.aside}: it is opened only when it is requested by its name, ${volume.name}`;
}

function notOpenedAtAll(volume: Volume): string | undefined {
  const { name, found, driver } = volume;
  if (driver.kind === 'none') return driver.reason;
  if (driver.kind !== 'container') return undefined;
  if (isLocked(volume)) return `${name} is locked (${found})`;
  return `${name} is part of another volume (${found})`;
}

function notOpenable(volume: Volume, reason: string): GranularError {
  return isLocked(volume) && volume.driver.kind === 'container'
    ? new GranularError('LOCKED', `${reason}: it needs its key`)
    : new GranularError('UNSUPPORTED', `${volume.name} cannot be opened: ${reason}`);
}
