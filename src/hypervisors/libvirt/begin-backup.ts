import type { LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { orAborted } from '../../lib/or-aborted.ts';
import { LIBVIRT_CALLS } from '../../formats/wire/libvirt-calls.ts';
import { LIBVIRT_ERRORS } from '../../formats/wire/libvirt.ts';
import type { Tracking } from '../../formats/store/catalog/machine.ts';
import { asError } from '../../lib/as-error.ts';
import type {
  BackupWish,
  BeginOptions,
  DiskTracking,
  MachineSnapshot,
  SnapshotDisk,
} from '../base/backup-driver.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { changedOf, openServedDisk } from '../base/served-disk.ts';
import { backupXml, bitmapOf, checkpointXml, type DiskInBackup } from './backup-xml.ts';
import { chooseDisks } from '../base/chosen-disks.ts';
import { type Domain, type DomainDisk, readDomain } from './domain.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { isNumber, LibvirtError } from './libvirt-error.ts';
import { placeFor } from './data-way.ts';
import { scratchFor } from './left-scratch.ts';
import { describedBy } from './machines.ts';
import { FROZEN_MS, type Quiet, thawLeft, whileQuiet } from './quiet-guest.ts';
import { checkpointName, planTracking } from './tracking.ts';
import { endBackup, removeCheckpoint, requireBackup } from './tidy.ts';

/*
 * A backup in pull mode (libvirt.org/kbase/live_full_disk_backup.html): QEMU serves all disks over NBD as they are at
 * one moment, together with what has changed since an earlier checkpoint, and keeps what the guest overwrites until
 * the job is ended.
 */

interface Wanted {
  readonly domain: LibvirtDomain;
  readonly wish: BackupWish;
  readonly since: Tracking | undefined;
  readonly options: BeginOptions;
}

/**
 * For a machine that runs. Rejects as BackupDriver.begin does. libvirt may take longer than its guest may be frozen, or
 * hang: then all is begun once more, and after that without freezing the guest, if that is accepted.
 */
export async function beginBackup(host: LibvirtHost, wanted: Wanted): Promise<MachineSnapshot> {
  for (let attempt = 1; ; attempt++) {
    const snapshot = await attemptBackup(host, wanted, attempt > FROZEN_ATTEMPTS);
    if (snapshot) return snapshot;
    wanted.options.onNotice(
      `libvirt did not begin the backup within ${FROZEN_MS / 1000} seconds: the guest was thawed, and what was begun ` +
        'is ended; it is begun again',
    );
  }
}

const FROZEN_ATTEMPTS = 2;

/** Undefined: its guest could not stay frozen for so long. Nothing of it is left then. */
async function attemptBackup(
  host: LibvirtHost,
  wanted: Wanted,
  wasLate: boolean,
): Promise<MachineSnapshot | undefined> {
  const { domain, wish, since, options } = wanted;
  const { signal, onNotice, point } = options;
  const described = readDomain(
    await host.link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal),
  );
  requireStill(described);
  await requireIdle(host, domain, signal);
  const { read, left } = chooseDisks(described, wish);
  const plan = await planTracking(host, { domain, disks: read, since, signal });
  const name = checkpointName(host, point);
  const place = placeFor(host, domain, name);
  const job: Job = { domain, name, place, read, left: left.map((it) => it.name), calls: [] };
  try {
    const quiet = await whileQuiet(
      host,
      { domain, described, wish, wasLate, signal, onNotice },
      (until) => start(host, job, plan, until),
    );
    if (quiet) {
      return await openSnapshot(host, { wanted, job, quiet });
    }
  } catch (cause) {
    // It may have begun, and its answer been lost or not waited for.
    await undo(host, job, onNotice);
    throw cause;
  }
  await undo(host, job, onNotice);
  return undefined;
}

/** Never rejects: what it cannot do, the next `tidy` does. */
async function undo(
  host: LibvirtHost,
  { domain, name, place, calls }: Job,
  onNotice: (message: string) => void,
): Promise<void> {
  try {
    // What libvirt has not answered may begin after it was looked for.
    await Promise.allSettled(calls);
    const signal = AbortSignal.timeout(END_MS);
    await endOrTell(host, { domain, place, signal }, onNotice);
    await removeCheckpoint(host, domain, { name, signal });
  } catch (cause) {
    onNotice(
      `what was begun could not be ended (${asError(cause).message}): the next backup does that`,
    );
  }
}

interface Job {
  readonly domain: LibvirtDomain;
  /** The new checkpoint's. */
  readonly name: string;
  /** By which it is known while it runs. */
  readonly place: string;
  readonly read: readonly DomainDisk[];
  /** Names of disks that are not read. */
  readonly left: readonly string[];
  /** Orders to begin it. libvirt goes on with those whose caller has gone. */
  readonly calls: Promise<void>[];
}

type Plan = ReadonlyMap<string, DiskTracking>;

function requireStill({ name, disks }: Domain): void {
  const moving = disks.find(({ isMirrored }) => isMirrored);
  if (!moving) return;
  const what = `disk ${moving.name} of ${name} is being copied or merged on the hypervisor`;
  throw new HypervisorError('BUSY', `${what}: back it up when that has ended`);
}

/** Asked first, since libvirt would wait for half a minute and then say little. */
async function requireIdle(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<void> {
  const { type } = await link.call(LIBVIRT_CALLS.jobInfo, { domain }, signal);
  if (type !== 'bounded' && type !== 'unbounded') return;
  throw new HypervisorError(
    'BUSY',
    `another job runs on ${domain.name}, a backup or a migration: see "virsh domjobinfo"`,
  );
}

/** Begins the job and its checkpoint; resolves with what is really counted. */
async function start(host: LibvirtHost, job: Job, plan: Plan, signal: AbortSignal): Promise<Plan> {
  for (let trying = plan; ; ) {
    try {
      await call(host, job, trying, signal);
      return trying;
    } catch (cause) {
      signal.throwIfAborted();
      const next = withoutLost(trying, cause) ?? withoutOld(trying, job.read, cause);
      if (!next) throw cause;
      trying = next;
    }
  }
}

/** A bitmap is missing, or was in use when QEMU was killed. Which one it is, only a text says. */
function withoutLost(plan: Plan, cause: unknown): Plan | undefined {
  const isLost =
    isNumber(cause, LIBVIRT_ERRORS.checkpointInconsistent) ||
    isNumber(cause, LIBVIRT_ERRORS.invalidCheckpoint);
  if (!isLost || [...plan.values()].every(({ since }) => since === undefined)) return undefined;
  const why = `the hypervisor has lost what it counted: ${asError(cause).message}`;
  return new Map(
    [...plan].map(([disk, { isTracked, ...it }]) => [
      disk,
      { since: undefined, isTracked, why: it.since === undefined ? it.why : why },
    ]),
  );
}

/**
 * Images of version 2, as libvirt makes volumes unless it is asked for another one, hold no bitmaps. Only a text says
 * that, with the name of QEMU's node: libvirt calls it after the index of the disk's source.
 */
function withoutOld(plan: Plan, read: readonly DomainDisk[], cause: unknown): Plan | undefined {
  if (!(cause instanceof LibvirtError) || !cause.message.includes('qcow2 v2')) return undefined;
  const [, index] = /'libvirt-(\d+)-format'/.exec(cause.message) ?? [];
  const named = read.filter((it) => index !== undefined && it.index === index);
  const old = (named.length > 0 ? named : read).filter(({ name }) => plan.get(name)!.isTracked);
  if (old.length === 0) return undefined;
  return new Map([
    ...plan,
    ...old.map(({ name, path }): [string, DiskTracking] => [name, untracked(path)]),
  ]);
}

function untracked(path: string | undefined): DiskTracking {
  const amend = `qemu-img amend -f qcow2 -o compat=1.1 ${path ?? 'IMAGE'}`;
  const why = `its image is qcow2 of version 2, which cannot count changes (with the machine off: ${amend})`;
  return { since: undefined, isTracked: false, why };
}

async function call(
  host: LibvirtHost,
  { domain, name, place, read, left, calls }: Job,
  plan: Plan,
  signal: AbortSignal,
): Promise<void> {
  const disks = read.map((disk): DiskInBackup => {
    const { since, isTracked } = plan.get(disk.name)!;
    const scratch = scratchFor(host, disk, { mark: name, machine: domain.uuid });
    return { name: disk.name, since, isTracked, scratch };
  });
  const checkpoint = disks.some(({ isTracked }) => isTracked)
    ? checkpointXml(name, disks, left)
    : undefined;
  for (;;) {
    signal.throwIfAborted();
    const backup = backupXml(disks, left, host.way.server(place));
    const wanted = { domain, backup, checkpoint, flags: 0 };
    const begun = host.link.call(LIBVIRT_CALLS.beginBackup, wanted);
    calls.push(begun);
    try {
      return await orAborted(begun, signal);
    } catch (cause) {
      if (!(cause instanceof LibvirtError)) throw cause;
      const { error, again } = host.way.explain(place, cause);
      if (!again) throw error;
    }
  }
}

interface Begun {
  readonly wanted: Wanted;
  readonly job: Job;
  readonly quiet: Quiet<Plan>;
}

async function openSnapshot(
  host: LibvirtHost,
  { wanted, job, quiet: { result: plan, consistency, mayBeFrozen } }: Begun,
): Promise<MachineSnapshot> {
  const { since, wish, options } = wanted;
  const { domain, name } = job;
  const { signal, onNotice } = options;
  const isTracked = [...plan.values()].some((it) => it.isTracked);
  const [{ name: disk } = { name: '' }] = job.read;
  let isAccepted = false;
  await using stack = new AsyncDisposableStack();
  const way = stack.use(await host.way.open(job.place, { disk, signal, onNotice }));
  const disks: SnapshotDisk[] = [];
  for (const one of job.read) {
    const counted = plan.get(one.name)!;
    const { name: of, path, type, described: it } = one;
    const bitmap = counted.since === undefined ? undefined : bitmapOf(of);
    const { tls } = way;
    const device = stack.use(
      await openServedDisk({ uri: way.uri(of), tls, disk: of, bitmap, signal }),
    );
    disks.push({
      ...{ name: of, device, sectorBytes: it.sectorBytes, why: counted.why },
      where: path ?? it.source ?? type,
      changed: await changedOf(device, bitmap),
    });
  }
  const described = await describedBy(host, { domain, wish, signal, onNotice });
  const open = stack.move();
  return {
    ...{ consistency, disks, described },
    tracking: isTracked ? { kind: 'libvirt', checkpoint: name, point: options.point } : undefined,
    confirm: () => requireBackup(host, domain, { place: job.place, signal }),
    async accept() {
      isAccepted = true;
      // Also where nothing is tracked any longer: a bitmap ends a machine that is reverted to an internal snapshot.
      if (since?.kind !== 'libvirt') return;
      const limit = AbortSignal.timeout(END_MS);
      await endOrTell(host, { domain, place: job.place, signal: limit }, onNotice);
      await removeCheckpoint(host, domain, { name: since.checkpoint, signal: limit });
    },
    async [Symbol.asyncDispose]() {
      await open.disposeAsync();
      // By now it may run again, or its agent may be there.
      if (mayBeFrozen) await thawOrTell(host, domain, onNotice);
      if (!isAccepted) return undo(host, job, onNotice);
      try {
        const limit = AbortSignal.timeout(END_MS);
        await endOrTell(host, { domain, place: job.place, signal: limit }, onNotice);
      } catch (cause) {
        onNotice(
          `the backup's job could not be ended (${asError(cause).message}): the next backup does that`,
        );
      }
    },
  };
}

async function thawOrTell(
  host: LibvirtHost,
  domain: LibvirtDomain,
  onNotice: (message: string) => void,
): Promise<void> {
  for (const it of await thawLeft(host, domain, new AbortController().signal)) onNotice(it);
}

/** To end a job takes as long as QEMU needs to remove a scratch file. */
const END_MS = 60_000;
const SLOW_END_MS = 5000;

/**
 * Ends the job, and reports one that takes long. libvirt accepts the order at once; an event of the guest's agent at
 * the same time then waits for the job, and the end of the job for the event, for half a minute (libvirt 9.0). Only its
 * log tells that from a host that is busy.
 */
async function endOrTell(
  host: LibvirtHost,
  { domain, place, signal }: Pick<Job, 'domain' | 'place'> & { readonly signal: AbortSignal },
  onNotice: (message: string) => void,
): Promise<void> {
  const over = new AbortController();
  const telling = host.clock.sleep(SLOW_END_MS, over.signal).then(
    () =>
      onNotice(
        `the hypervisor has been ending the backup's job for ${SLOW_END_MS / 1000} seconds: libvirt takes half a ` +
          "minute if the guest's agent starts or stops at the same time; waiting for it",
      ),
    () => {},
  );
  try {
    await endBackup(host, domain, { place, signal });
  } finally {
    over.abort();
    await telling;
  }
}
