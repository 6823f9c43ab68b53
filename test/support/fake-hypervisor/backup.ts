import { BlockError } from '../../../src/block/block-error.ts';
import type { BlockDevice, Extent } from '../../../src/block/block-device.ts';
import { readLayer } from '../../../src/block/layer.ts';
import type { Consistency, Tracking } from '../../../src/formats/store/catalog/machine.ts';
import type {
  BackupDriver,
  BackupWish,
  BeginOptions,
  MachineSnapshot,
  SnapshotDisk,
} from '../../../src/hypervisors/base/backup-driver.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { DescribedMachine } from '../../../src/hypervisors/base/machines.ts';
import { checkBackup } from './backup-check.ts';
import { describeMachine, type Link, markOf } from './describe.ts';
import { beginJob, endJob, freezeGuest, jobDisk, machineOf, removeToken } from './host.ts';
import { PAGE_LENGTH } from './host-disk.ts';

/** What the host tells of changes in one answer. */
const RANGES_MAX = 2;

export function backupDriver(open: () => Link): BackupDriver {
  return {
    check: async (id, wish, signal) => checkBackup(open(), id, { wish, signal }),
    begin: async (id, wish, since, options) => begin(open(), { id, wish, since, options }),
    tidy: async (id, keep, signal) => tidy(open(), id, { keep, signal }),
  };
}

interface Asked {
  readonly id: string;
  readonly wish: BackupWish;
  readonly since: Tracking | undefined;
  readonly options: BeginOptions;
}

/** A backup under way: its machine, and the name of what it makes there. */
interface Running extends Asked {
  readonly link: Link;
  readonly name: string;
}

async function begin(link: Link, asked: Asked): Promise<MachineSnapshot> {
  const { id, wish, since, options } = asked;
  const { signal } = options;
  const running: Running = { ...asked, link, name: `${markOf(link)}${options.point}` };
  const found = await link.wire.call(
    'look',
    () => {
      const { power, hasAgent, job, internalSnapshots } = machineOf(link.host, id);
      return { power, hasAgent, job: job?.name, snapshots: internalSnapshots.length };
    },
    signal,
  );
  if (found.job !== undefined) {
    throw new HypervisorError('BUSY', `machine ${id}: job ${found.job} runs: wait for its end`);
  }
  const described = chosen(await describeMachine(link, id, signal), wish);
  const names = described.machine.disks.filter((it) => !it.excluded).map(({ name }) => name);
  const token = found.snapshots > 0 ? undefined : running.name;
  const begun = { job: running.name, disks: names, token, since: tokenOf(since) };
  try {
    const consistency = await quiesced(running, found, () =>
      link.wire.call('begin job', () => beginJob(link.host, id, begun), signal),
    );
    const disks: SnapshotDisk[] = [];
    for (const name of names) disks.push(await snapshotDisk(running, name));
    return snapshotOf(running, { consistency, disks, described, token });
  } catch (cause) {
    await undo(running);
    throw cause;
  }
}

function tokenOf(tracking: Tracking | undefined): string | undefined {
  return tracking?.kind === 'libvirt' ? tracking.checkpoint : undefined;
}

function chosen({ machine, files }: DescribedMachine, wish: BackupWish): DescribedMachine {
  const known = new Set(machine.disks.map(({ name }) => name));
  for (const name of [...(wish.only ?? []), ...wish.exclude]) {
    if (known.has(name)) continue;
    throw new HypervisorError('NOT_FOUND', `machine ${machine.from.name} has no disk "${name}"`);
  }
  const disks = machine.disks.map((disk) => {
    const isLeftOut = wish.exclude.includes(disk.name) || wish.only?.includes(disk.name) === false;
    if (disk.excluded || !isLeftOut) return disk;
    return { ...disk, excluded: { reason: 'chosen' as const, detail: 'left out on request' } };
  });
  return { machine: { ...machine, disks }, files };
}

/** Runs `work` while the guest is as quiet as it was wished; it is thawed in every case. */
async function quiesced(
  running: Running,
  { power, hasAgent }: { readonly power: string; readonly hasAgent: boolean },
  work: () => Promise<void>,
): Promise<Consistency> {
  const { wish, options } = running;
  const asked = wish.consistency;
  if (power === 'off' || asked === 'crash' || asked === 'off') {
    await work();
    return { asked, got: power === 'off' ? 'off' : 'crash' };
  }
  let why = hasAgent ? undefined : 'no guest agent answers';
  let mayBeFrozen = hasAgent;
  let isDone = false;
  try {
    if (hasAgent) why = await refusalToFreeze(running, () => (mayBeFrozen = false));
    if (why !== undefined && !wish.fallBack) {
      throw new HypervisorError('UNSUPPORTED', `machine ${running.id}: not ${asked}: ${why}`);
    }
    await work();
    isDone = true;
  } finally {
    if (mayBeFrozen) {
      const thawing = thaw(running);
      await (isDone ? thawing : thawing.catch(() => {}));
    }
  }
  if (why === undefined) return { asked, got: asked };
  options.onNotice(`the disks are as after a power cut, not ${asked}: ${why}`);
  return { asked, got: 'crash', why };
}

/**
 * Why the guest could not be frozen. A host that is away, and a signal, end the attempt, and so does another backup
 * that froze the guest: it is not ours to thaw.
 */
async function refusalToFreeze(
  { link, id, options }: Running,
  onForeign: () => void,
): Promise<string | undefined> {
  try {
    const freeze = () => freezeGuest(link.host, id, markOf(link));
    await link.wire.call('freeze', freeze, options.signal);
    return undefined;
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || cause.code === 'UNREACHABLE') throw cause;
    if (cause.code === 'BUSY') {
      onForeign();
      throw cause;
    }
    return `the guest agent refused: ${cause.message}`;
  }
}

/** Asks twice: a guest that stays frozen is worse than a backup that fails. */
async function thaw({ link, id }: Pick<Running, 'link' | 'id'>): Promise<void> {
  const ask = () =>
    link.wire.call('thaw', () => void (machineOf(link.host, id).frozenBy = undefined));
  await ask().catch(ask);
}

async function snapshotDisk(running: Running, name: string): Promise<SnapshotDisk> {
  const { link, id, since, options } = running;
  const { changed, size, where } = await changesOf(running, name);
  const call = <T>(what: string, effect: (disk: ReturnType<typeof jobDisk>) => T): Promise<T> =>
    asDevice(link.wire.call(what, () => effect(jobDisk(link.host, id, running.name, name))));
  const device: BlockDevice = readLayer(
    `${id}/${name}`,
    { size, blockSize: 512 },
    {
      read: (into, offset) => call('read', ({ frozen }) => frozen.read(into, offset)),
      extents: (offset, length) =>
        call('extents', ({ frozen }) => extentsOf((at) => frozen.hasData(at), { offset, length })),
    },
  );
  options.signal.throwIfAborted();
  const isAsked = since !== undefined;
  const disk = { name, device, sectorBytes: 512 as const, where };
  if (Array.isArray(changed)) return { ...disk, changed, why: undefined };
  return { ...disk, changed: undefined, why: isAsked ? changed : undefined };
}

/** What has changed, all parts of the answer; words: why it is not known. */
async function changesOf(running: Running, name: string) {
  const { link, id, options } = running;
  const ranges: { readonly offset: number; readonly length: number }[] = [];
  for (;;) {
    const part = await link.wire.call(
      'list changes',
      () => {
        const { changed, frozen } = jobDisk(link.host, id, running.name, name);
        const [where = ''] = machineOf(link.host, id).disks.get(name)?.layers ?? [];
        const of = { size: frozen.size, where };
        if (changed === undefined) return { lost: 'no earlier point of this host is known', ...of };
        if (changed instanceof HypervisorError) return { lost: changed.message, ...of };
        const some = changed.slice(ranges.length, ranges.length + RANGES_MAX);
        return { lost: undefined, ranges: some, ...of };
      },
      options.signal,
    );
    const { size, where } = part;
    if (part.lost !== undefined) return { changed: part.lost, size, where };
    ranges.push(...part.ranges);
    if (part.ranges.length < RANGES_MAX) return { changed: ranges, size, where };
  }
}

function extentsOf(
  hasData: (offset: number) => boolean,
  { offset, length }: { readonly offset: number; readonly length: number },
): readonly Extent[] {
  const extents: Extent[] = [];
  for (let at = offset; at < offset + length; ) {
    const end = Math.min(offset + length, (Math.floor(at / PAGE_LENGTH) + 1) * PAGE_LENGTH);
    extents.push({ offset: at, length: end - at, kind: hasData(at) ? 'data' : 'zero' });
    at = end;
  }
  return extents;
}

async function asDevice<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    const code = cause.code === 'NO_SPACE' ? 'NO_SPACE' : 'IO';
    throw new BlockError(code, cause.message, { cause });
  }
}

interface Taken {
  readonly consistency: Consistency;
  readonly disks: readonly SnapshotDisk[];
  readonly described: DescribedMachine;
  readonly token: string | undefined;
}

function snapshotOf(running: Running, { token, ...taken }: Taken): MachineSnapshot {
  const { link, id, since, options } = running;
  let isAccepted = false;
  async function end(): Promise<void> {
    for (const { device } of taken.disks) await device[Symbol.asyncDispose]();
    const failures = await undo(running, { keepToken: isAccepted });
    if (failures.length === 0) return;
    options.onNotice(`machine ${id}: left for the next backup to remove: ${failures.join('; ')}`);
  }
  let ending: Promise<void> | undefined;
  return {
    ...taken,
    tracking:
      token === undefined
        ? undefined
        : { kind: 'libvirt', checkpoint: token, point: options.point },
    async confirm() {
      const job = await link.wire.call('confirm', () => machineOf(link.host, id).job?.name);
      if (job === running.name) return;
      throw new HypervisorError('FAILED', `machine ${id}: its backup ended in the middle`);
    },
    async accept() {
      // From here on the new token counts, whatever becomes of the old one.
      isAccepted = true;
      const old = tokenOf(since);
      if (old?.startsWith(markOf(link)) !== true) return;
      await orGone(link.wire.call('remove token', () => removeToken(link.host, id, old)));
    },
    [Symbol.asyncDispose]: () => (ending ??= end()),
  };
}

/** Ends the job and, unless it is kept, removes its token. Returns what it could not do. */
async function undo(
  { link, id, name }: Running,
  { keepToken = false }: { readonly keepToken?: boolean } = {},
): Promise<readonly string[]> {
  const failures: string[] = [];
  const note = (cause: Error): void => void failures.push(cause.message);
  await orGone(link.wire.call('end job', () => endJob(link.host, id, name))).catch(note);
  if (keepToken) return failures;
  await orGone(link.wire.call('remove token', () => removeToken(link.host, id, name))).catch(note);
  return failures;
}

async function orGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || cause.code !== 'NOT_FOUND') throw cause;
  }
}

interface Tidying {
  readonly keep: readonly Tracking[];
  readonly signal: AbortSignal;
}

async function tidy(link: Link, id: string, { keep, signal }: Tidying): Promise<readonly string[]> {
  const { host, wire } = link;
  const kept = new Set(keep.map(tokenOf));
  const mark = markOf(link);
  const found = await wire.call(
    'look for leftovers',
    () => {
      const machine = host.machines.get(id);
      if (!machine) return undefined;
      const { frozenBy, job, tokens } = machine;
      return { frozenBy, job: job?.name, tokens: [...tokens.keys()] };
    },
    signal,
  );
  const done: string[] = [];
  if (!found) return done;
  if (found.frozenBy === mark) {
    await thaw({ link, id });
    done.push('thawed the guest');
  }
  const { job } = found;
  if (job?.startsWith(mark) === true) {
    await orGone(wire.call('end job', () => endJob(host, id, job), signal));
    done.push(`ended job ${job}`);
  }
  for (const token of found.tokens) {
    if (!token.startsWith(mark) || kept.has(token)) continue;
    await orGone(wire.call('remove token', () => removeToken(host, id, token), signal));
    done.push(`removed token ${token}`);
  }
  return done;
}
