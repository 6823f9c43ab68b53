import { type Appliance, type KeySource, launchAppliance } from './appliance.ts';
import type { DiskFiles } from './disk-files.ts';
import { GranularError } from './granular-error.ts';
import { bindMount, type MountOptions, mountVolume } from './mounts.ts';
import { lastWords, runProgram } from './programs.ts';
import { findVolumes, isLocked, type Volume, volumeNamed } from './volumes.ts';

/** Volumes of a machine, mounted; disposing unmounts them. */
export interface OpenedVolumes extends AsyncDisposable {
  /** All that there are, also those that were not wanted and those that cannot be opened. */
  readonly volumes: readonly Volume[];
  readonly mounted: readonly { readonly volume: Volume; readonly path: string }[];
  readonly failed: readonly { readonly volume: Volume; readonly reason: string }[];
}

export interface OpenVolumesOptions extends MountOptions {
  /** Existing; volumes appear in it under their names. */
  readonly directory: string;
  /** Existing and private; for what an appliance needs. */
  readonly work: string;
  readonly isolated: boolean;
  readonly keys: KeySource;
  /** The name of the only volume that is wanted. */
  readonly wanted: string | undefined;
  /** Of a machine's disk: only volumes of it are shown. */
  readonly disk: string | undefined;
  /** Before anything is mounted there: directories that will be made, to be unmounted and removed. */
  readonly onDirectories?: (paths: readonly string[]) => Promise<void>;
}

const MAKE_MS = 30_000;

/**
 * Finds and mounts what is in `disks` (all of a machine's, since volume groups span them). Where one volume is
 * wanted its failure is thrown; otherwise those that cannot be mounted are in `failed`.
 */
export async function openVolumes(
  disks: readonly DiskFiles[],
  options: OpenVolumesOptions,
): Promise<OpenedVolumes> {
  const { work, wanted, onDirectories, signal } = options;
  await using stack = new AsyncDisposableStack();
  const { volumes, needAppliance } = await discover(disks, options, stack);
  const chosen = wanted === undefined ? ofDisk(volumes, options) : [volumeNamed(volumes, wanted)];

  const opening = { ...options, wanted: wanted !== undefined };
  const plan = planned(chosen, opening);
  const guests = plan.filter(({ volume }) => volume.driver.kind === 'guestfs');
  const paths = [...plan.map(({ path }) => path), ...(guests.length > 0 ? [shownIn(work)] : [])];
  await onDirectories?.(paths);
  stack.defer(() => removeDirectories(paths));
  await makeDirectories(paths, signal);

  const failed = chosen.flatMap((volume) => {
    const reason = opening.wanted ? notOpenedAtAll(volume) : notOpened(volume);
    return reason === undefined ? [] : [{ volume, reason }];
  });
  if (opening.wanted && failed.length > 0) throw notOpenable(failed[0]!.volume, failed[0]!.reason);
  const mounted: { volume: Volume; path: string }[] = [];
  const place = { mounted, failed, stack };
  if (guests.length > 0) await mountGuests(await needAppliance(), guests, { ...place, opening });
  await mountOthers(plan, { ...place, opening });
  const owned = stack.move();
  return {
    volumes,
    mounted: mounted.toSorted((a, b) => (a.volume.name < b.volume.name ? -1 : 1)),
    failed,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What is there, and why nobody could open it; nothing is mounted. */
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

/** An appliance that is needed is the stack's to end. */
async function discover(
  disks: readonly DiskFiles[],
  options: DiscoverOptions,
  stack: AsyncDisposableStack,
): Promise<{
  readonly volumes: readonly Volume[];
  readonly needAppliance: () => Promise<Appliance>;
}> {
  const { work, wanted, signal } = options;
  const keys = askingOnce(options.keys);
  let appliance: Appliance | undefined;
  const needAppliance = async (): Promise<Appliance> =>
    (appliance ??= stack.use(
      await launchAppliance(disks, { directory: work, keys, ...(signal && { signal }) }),
    ));
  const outside = await findVolumes(disks, options);
  const known = outside.find(({ name }) => name === wanted);
  // A VM takes seconds to start: not for a volume that is there without it.
  const isPlain = known !== undefined && known.driver.kind !== 'container';
  if (isPlain || !(await isPacked(outside, keys))) return { volumes: outside, needAppliance };
  return { volumes: await (await needAppliance()).openContainers(outside), needAppliance };
}

function ofDisk(
  volumes: readonly Volume[],
  { disk }: Pick<OpenVolumesOptions, 'disk'>,
): readonly Volume[] {
  return disk === undefined ? volumes : volumes.filter((it) => it.disk === disk);
}

/** With `mkdir`, which sees what is mounted here. */
export async function makeDirectories(
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  if (paths.length === 0) return;
  const options = { timeoutMs: MAKE_MS, ...(signal && { signal }) };
  const { code, stderr } = await runProgram('mkdir', ['--parents', '--', ...paths], options);
  if (code !== 0) throw new GranularError('DENIED', `no directories: ${lastWords(stderr)}`);
}

/** Those that are empty. */
export async function removeDirectories(paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  // Those inside others first.
  const words = ['--ignore-fail-on-non-empty', '--', ...paths.toSorted().toReversed()];
  await runProgram('rmdir', words, { timeoutMs: MAKE_MS });
}

/** Keys are asked for before a VM is started, and once. */
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
  readonly mounted: Planned[];
  readonly failed: { volume: Volume; reason: string }[];
  readonly stack: AsyncDisposableStack;
  readonly opening: Omit<OpenVolumesOptions, 'wanted'> & { readonly wanted: boolean };
}

function planned(chosen: readonly Volume[], { directory, wanted }: Place['opening']): Planned[] {
  return chosen
    .filter((it) => (wanted ? notOpenedAtAll(it) : notOpened(it)) === undefined)
    .map((volume) => ({ volume, path: `${directory}/${volume.name}` }));
}

function shownIn(work: string): string {
  return `${work}/appliance`;
}

async function mountGuests(
  appliance: Appliance,
  guests: readonly Planned[],
  { mounted, failed, stack, opening }: Place,
): Promise<void> {
  const all = shownIn(opening.work);
  const shown = stack.use(
    await appliance.show(
      guests.map(({ volume }) => volume),
      all,
    ),
  );
  for (const { volume, path } of guests) {
    const failure = shown.failed.get(volume);
    if (failure) {
      if (opening.wanted) throw failure;
      failed.push({ volume, reason: failure.message });
      continue;
    }
    stack.use(await bindMount(`${all}/${volume.name}`, path, opening));
    mounted.push({ volume, path });
  }
}

async function mountOthers(
  plan: readonly Planned[],
  { mounted, failed, stack, opening }: Place,
): Promise<void> {
  for (const { volume, path } of plan) {
    if (volume.driver.kind === 'guestfs') continue;
    try {
      stack.use(await mountVolume(volume, path, opening));
      mounted.push({ volume, path });
    } catch (cause) {
      // A volume that nobody can read does not keep the others away; a missing program or right would.
      const isItsOwn = cause instanceof GranularError && cause.code === 'UNREADABLE';
      if (opening.wanted || !isItsOwn) throw cause;
      failed.push({ volume, reason: cause.message });
    }
  }
}

/** Why it is not opened with others. */
function notOpened(volume: Volume): string | undefined {
  const reason = notOpenedAtAll(volume);
  if (reason !== undefined || volume.aside === undefined) return reason;
  return `${volume.aside}: it is opened only where it is asked for by its name, ${volume.name}`;
}

function notOpenedAtAll(volume: Volume): string | undefined {
  const { name, found, driver } = volume;
  if (driver.kind === 'none') return driver.reason;
  if (driver.kind !== 'container') return undefined;
  if (isLocked(volume)) return `${name} is locked (${found})`;
  return `${name} is part of others (${found})`;
}

function notOpenable(volume: Volume, reason: string): GranularError {
  return isLocked(volume)
    ? new GranularError('LOCKED', `${reason}: it needs its key`)
    : new GranularError('UNSUPPORTED', `${volume.name} cannot be opened: ${reason}`);
}
