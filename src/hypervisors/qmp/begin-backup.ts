import { join } from 'node:path/posix';
import type { Consistency, Tracking } from '../../formats/store/catalog/machine.ts';
import { asError } from '../../lib/as-error.ts';
import type {
  BackupWish,
  BeginOptions,
  DiskTracking,
  MachineSnapshot,
  SnapshotDisk,
} from '../base/backup-driver.ts';
import { chooseDisks } from '../base/chosen-disks.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { DescribedMachine, MachineId } from '../base/machines.ts';
import { changedOf, openServedDisk } from '../base/served-disk.ts';
import { QMP } from './commands.ts';
import { describeMachine } from './describe.ts';
import type { QemuDisk } from './disks.ts';
import { endBackup, removeBitmaps } from './end-backup.ts';
import type { QmpLink } from './link.ts';
import { type OpenMachine, openMachine } from './machines.ts';
import { QmpError } from './qmp-error.ts';
import { markOf, type QmpHost } from './qmp-host.ts';
import { whileQuiet } from './quiet-guest.ts';
import { addScratch, noPlace, scratchPath } from './scratch.ts';
import { bitmapOf, planTracking } from './tracking.ts';
import { requireVersion } from './version.ts';

/*
 * A backup: at one moment each disk gets a scratch file over it, into which QEMU copies what the guest overwrites from
 * then on, and a bitmap that begins to count. The scratch file over the disk is the disk at that moment; QEMU serves it
 * over NBD, with a copy of the bitmap that has counted until then. The monitor is free again once that has begun.
 */

interface Wanted {
  readonly wish: BackupWish;
  readonly since: Tracking | undefined;
  readonly options: BeginOptions;
}

/** What a backup has made, by which it is ended. */
interface Job {
  readonly uuid: string;
  /** The new bitmap's name. */
  readonly bitmap: string;
  readonly socket: string;
  readonly disks: readonly JobDisk[];
}

interface JobDisk {
  readonly disk: QemuDisk;
  readonly counted: DiskTracking;
  readonly scratch: string;
  /** With which all begins that is made for it. */
  readonly mark: string;
}

/** The name of the copied bitmap. */
const CHANGED = 'changed';
/** unix(7) */
const SOCKET_PATH_MAX = 107;
const END_MS = 60_000;

/** Rejects as BackupDriver.begin does. */
export async function beginBackup(
  host: QmpHost,
  id: MachineId,
  wanted: Wanted,
): Promise<MachineSnapshot> {
  const { signal, onNotice } = wanted.options;
  let job: Job | undefined;
  try {
    let begun: Begun;
    {
      await using machine = await openMachine(host, id, signal);
      begun = await begin(host, machine, { ...wanted, onBegin: (it) => (job = it) });
    }
    return await openSnapshot(host, wanted, begun);
  } catch (cause) {
    // It may have begun, and its answer been lost or not waited for.
    if (job) await undo(host, job, onNotice);
    throw cause;
  }
}

interface Begun {
  readonly job: Job;
  readonly consistency: Consistency;
  readonly described: DescribedMachine;
}

/** `onBegin`: called before anything is made. */
async function begin(
  host: QmpHost,
  machine: OpenMachine,
  { wish, since, options, onBegin }: Wanted & { readonly onBegin: (job: Job) => void },
): Promise<Begun> {
  const { signal, onNotice, point } = options;
  const { link, name, uuid } = machine;
  requireVersion(link.version);
  await requireIdle(link, name, signal);
  const { described, disks } = await describeMachine(host, machine, { wish, signal, onNotice });
  const { read } = chooseDisks({ name, disks }, wish);
  const nodes = await link.call(QMP.nodes, { flat: true }, signal);
  const plan = planTracking(disks, { read, nodes, since });
  const job: Job = {
    uuid,
    bitmap: bitmapOf(host, point),
    socket: socketOf(host, uuid),
    disks: read.map((disk, n): JobDisk => {
      const scratch = scratchPath(host, uuid, disk);
      if (scratch === undefined) throw noPlace(disk.name);
      return { disk, scratch, counted: plan.get(disk.name)!, mark: `${markOf(host)}${n}` };
    }),
  };
  await startServer(link, { job, name, signal }, () => onBegin(job));
  for (const { disk, scratch, mark } of job.disks) {
    const { node, size } = disk.medium!;
    await addScratch({ ...{ host, link, path: scratch, mark, size, node, signal, onNotice } });
  }
  const { consistency } = await whileQuiet(host, { machine, wish, signal, onNotice }, (until) =>
    link.call(QMP.transaction, { actions: job.disks.flatMap((it) => actions(job, it)) }, until),
  );
  for (const { disk, mark, counted } of job.disks) {
    const bitmaps = counted.since === undefined ? {} : { bitmaps: [CHANGED] };
    const offered = { type: 'nbd', id: mark, 'node-name': `${mark}s`, name: disk.name, ...bitmaps };
    await link.call(QMP.addExport, offered, signal);
  }
  return { job, consistency, described };
}

/** A backup that was left counts as one that runs, until the next `tidy`. */
async function requireIdle(link: QmpLink, name: string, signal: AbortSignal): Promise<void> {
  const jobs = await link.call(QMP.jobs, undefined, signal);
  const [job] = jobs.filter(({ status }) => status !== 'concluded');
  if (!job) return;
  throw new HypervisorError(
    'BUSY',
    `a job runs in the QEMU of ${name} (${job.id}), a backup or a copy: see "query-jobs" at its monitor`,
  );
}

/** Also the path tells whose server it is. Throws UNSUPPORTED. */
export function socketOf(host: Pick<QmpHost, 'owner' | 'sockets'>, uuid: string): string {
  const path = join(host.sockets, `${markOf(host)}${uuid.slice(0, 8)}.nbd`);
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  throw new HypervisorError(
    'UNSUPPORTED',
    `the path of a socket, ${path}, is longer than ${SOCKET_PATH_MAX} bytes: name a shorter directory on the ` +
      'hypervisor ("holdfast hypervisor change NAME --sockets DIR")',
  );
}

/** QEMU has one server: with that, no other backup can begin. `onStart`: called unless it was refused. */
async function startServer(
  link: QmpLink,
  { job, name, signal }: { readonly job: Job; readonly name: string; readonly signal: AbortSignal },
  onStart: () => void,
): Promise<void> {
  const addr = { type: 'unix', data: { path: job.socket } };
  try {
    await link.call(QMP.startServer, { addr }, signal);
    onStart();
  } catch (cause) {
    if (!(cause instanceof QmpError)) {
      onStart();
      throw cause;
    }
    if (!/already running/i.test(cause.message)) throw cause;
    throw new HypervisorError(
      'BUSY',
      `an NBD server runs in the QEMU of ${name} already, and QEMU has only one: end it ("nbd-server-stop" at its ` +
        'monitor) if no other program needs it',
      { cause, native: cause.native },
    );
  }
}

function actions(
  { bitmap }: Job,
  { disk, counted, mark }: JobDisk,
): readonly { readonly type: string; readonly data: object }[] {
  const { node, driver } = disk.medium!;
  const scratch = `${mark}s`;
  const copied = [
    { type: 'block-dirty-bitmap-add', data: { node: scratch, name: CHANGED, disabled: true } },
    {
      type: 'block-dirty-bitmap-merge',
      data: { node: scratch, target: CHANGED, bitmaps: [{ node, name: counted.since }] },
    },
  ];
  const begun = {
    type: 'block-dirty-bitmap-add',
    data: { node, name: bitmap, persistent: driver === 'qcow2' },
  };
  return [
    ...(counted.since === undefined ? [] : copied),
    ...(counted.isTracked ? [begun] : []),
    {
      type: 'blockdev-backup',
      data: { 'job-id': mark, device: node, target: scratch, sync: 'none' },
    },
  ];
}

/** Rejects unless all that the backup has made is still there: a QEMU that has ended since then has none of it. */
async function requireJob(host: QmpHost, job: Job, signal: AbortSignal): Promise<void> {
  try {
    await using machine = await openMachine(host, job.uuid, signal);
    const { link, name } = machine;
    const lost = await lostDisk(link, job, signal);
    if (lost !== undefined) throw over(`the backup of disk ${lost} of ${name}`);
  } catch (cause) {
    if (cause instanceof HypervisorError && cause.code === 'NOT_FOUND') throw over('the backup');
    throw cause;
  }
}

function over(what: string): HypervisorError {
  return new HypervisorError(
    'FAILED',
    `${what} ended in QEMU before the recovery point was made: the machine was turned off, QEMU gave up, or another ` +
      'program ended the job. Nothing was made of what was read: back it up again',
  );
}

/** The name of one that is no longer kept as it was, served, and counted. */
async function lostDisk(
  link: QmpLink,
  { bitmap, disks }: Job,
  signal: AbortSignal,
): Promise<string | undefined> {
  const jobs = await link.call(QMP.jobs, undefined, signal);
  const kept = new Set(jobs.filter(({ status }) => KEEPS.has(status)).map(({ id }) => id));
  const served = new Set(await link.call(QMP.exports, undefined, signal));
  const nodes = await link.call(QMP.nodes, { flat: true }, signal);
  const counted = new Set(
    nodes.filter((it) => it.bitmaps.some(({ name }) => name === bitmap)).map(({ name }) => name),
  );
  return disks.find(({ disk, mark, counted: { isTracked } }) => {
    const isCounted = !isTracked || counted.has(disk.medium!.node);
    return !kept.has(mark) || !served.has(mark) || !isCounted;
  })?.disk.name;
}

/** States of a job that keeps what the guest overwrites. */
const KEEPS: ReadonlySet<string> = new Set(['running', 'paused']);

/** Never rejects: what it cannot do, the next `tidy` does. */
async function undo(host: QmpHost, job: Job, onNotice: (message: string) => void): Promise<void> {
  try {
    await end(host, job, { bitmap: job.bitmap, onNotice });
  } catch (cause) {
    onNotice(
      `what was begun could not be ended (${asError(cause).message}): the next backup does that`,
    );
  }
}

/** Ends the backup, and removes a bitmap. */
async function end(
  host: QmpHost,
  { uuid, socket, disks }: Job,
  {
    bitmap,
    onNotice,
  }: { readonly bitmap: string | undefined; readonly onNotice: (message: string) => void },
): Promise<void> {
  const signal = AbortSignal.timeout(END_MS);
  await using machine = await openMachine(host, uuid, signal);
  const { link } = machine;
  const scratch = disks.map((it) => it.scratch);
  await endBackup(host, link, { socket, scratch, signal, onNotice });
  await removeBitmaps(link, (name) => name === bitmap, signal);
}

async function openSnapshot(
  host: QmpHost,
  { since, options }: Wanted,
  { job, consistency, described }: Begun,
): Promise<MachineSnapshot> {
  const { signal, onNotice } = options;
  const { socket } = job;
  const isTracked = job.disks.some(({ counted }) => counted.isTracked);
  const before = since?.kind === 'qemu' ? since.bitmap : undefined;
  let state: 'open' | 'accepted' | 'ended' = 'open';
  await using stack = new AsyncDisposableStack();
  const disks: SnapshotDisk[] = [];
  for (const { disk, counted } of job.disks) {
    const { name, described: it, medium } = disk;
    const bitmap = counted.since === undefined ? undefined : CHANGED;
    const uri = `nbd+unix:///${encodeURIComponent(name)}?socket=${encodeURIComponent(socket)}`;
    const device = stack.use(await openServedDisk({ uri, disk: name, bitmap, signal }));
    disks.push({
      ...{ name, device, sectorBytes: it.sectorBytes, why: counted.why },
      where: medium!.file || medium!.driver,
      changed: await changedOf(device, bitmap),
    });
  }
  const open = stack.move();
  const finish = async (): Promise<void> => {
    await end(host, job, { bitmap: before, onNotice });
    state = 'ended';
  };
  return {
    ...{ consistency, disks, described },
    tracking: isTracked ? { kind: 'qemu', bitmap: job.bitmap, point: options.point } : undefined,
    confirm: () => requireJob(host, job, signal),
    async accept() {
      state = 'accepted';
      await finish();
    },
    async [Symbol.asyncDispose]() {
      await open.disposeAsync();
      if (state === 'ended') return;
      if (state === 'open') {
        await undo(host, job, onNotice);
        state = 'ended';
        return;
      }
      try {
        await finish();
      } catch (cause) {
        onNotice(
          `the backup's job could not be ended (${asError(cause).message}): the next backup does that`,
        );
      }
    },
  };
}
