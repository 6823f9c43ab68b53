import { BlockError } from '../../block/block-error.ts';
import { type QemuNbd, startQemuNbd } from '../../block/nbd-client/qemu-nbd.ts';
import type { LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../formats/wire/libvirt-calls.ts';
import type { Consistency, Tracking } from '../../formats/store/catalog/machine.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type {
  BackupWish,
  BeginOptions,
  DiskTracking,
  MachineSnapshot,
  SnapshotDisk,
} from '../base/backup-driver.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { CHANGED_GAP } from '../base/served-disk.ts';
import { chooseDisks } from '../base/chosen-disks.ts';
import { type DomainDisk, readDomain } from './domain.ts';
import { countingLayers } from './image-layers.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { describedBy, isSaved, powerOf } from './machines.ts';
import { planTracking } from './tracking.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/*
 * libvirt backs up only machines that run. The images of one that is off are read by qemu-nbd, whose locks keep the
 * machine from being started in the meantime, where images are locked at all: one that is started makes what was read
 * void. The bitmaps in the images go on counting from where they did.
 */
export async function openStopped(
  host: LibvirtHost,
  {
    domain,
    wish,
    since,
    options: { point, signal, onNotice },
  }: {
    readonly domain: LibvirtDomain;
    readonly wish: BackupWish;
    readonly since: Tracking | undefined;
    readonly options: BeginOptions;
  },
): Promise<MachineSnapshot> {
  await using stack = new AsyncDisposableStack();
  const off = stack.use(await watchOff(host, domain));
  await off.requireOff(signal);
  const consistency = consistencyOf(wish, await isSaved(host, domain, signal), onNotice);
  const xml = await host.link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal);
  const { read } = chooseDisks(readDomain(xml), wish);
  const plan = await planTracking(host, { domain, disks: read, since, signal });
  const disks: SnapshotDisk[] = [];
  for (const disk of read) {
    signal.throwIfAborted();
    disks.push(await openImage(host, disk, { counted: plan.get(disk.name)!, stack }));
  }
  const described = await describedBy(host, { domain, wish, signal, onNotice });
  // Only if every disk that can be counted still is may the next backup count from there.
  const isCounted = disks.every(({ name, changed }) => changed || !plan.get(name)!.isTracked);
  const open = stack.move();
  return {
    ...{ consistency, disks, described },
    tracking:
      since && isCounted ? { ...since, point, since: since.since ?? since.point } : undefined,
    confirm: () => off.requireOff(signal),
    accept: async () => {},
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

export const SAVED =
  'the machine is off, and its memory is saved on the hypervisor (managed save): part of what its guest has written ' +
  'may be only there, and the recovery point does not have it';

/** Throws UNSUPPORTED if it is less than is wished, and that is not accepted. */
function consistencyOf(
  { consistency: asked, fallBack }: BackupWish,
  hasMemory: boolean,
  onNotice: (message: string) => void,
): Consistency {
  if (!hasMemory) return { asked, got: 'off' };
  if (asked === 'crash') return { asked, got: 'crash' };
  if (!fallBack) throw new HypervisorError('UNSUPPORTED', `${SAVED}: start it for its backup`);
  onNotice(`${SAVED}; the backup has the state as after a power cut`);
  return { asked, got: 'crash', why: SAVED };
}

interface OffMachine extends AsyncDisposable {
  /** Rejects FAILED if it runs, or has run since it is watched. */
  requireOff(signal: AbortSignal): Promise<void>;
}

async function watchOff(host: LibvirtHost, domain: LibvirtDomain): Promise<OffMachine> {
  let wasStarted = false;
  const forget = await host.link.listen('lifecycle', (it) => {
    wasStarted ||= it.event === 'started' && it.domain.uuid === domain.uuid;
  });
  return {
    async requireOff(signal) {
      if ((await powerOf(host, domain, signal)) === 'off' && !wasStarted) return;
      throw new HypervisorError(
        'FAILED',
        `${domain.name} was started while its images were read: what was read is not of one moment. Nothing was made ` +
          'of it: back it up again, now that it runs',
      );
    },
    [Symbol.asyncDispose]: async () => forget(),
  };
}

async function openImage(
  host: LibvirtHost,
  { name, type, path, format, described }: DomainDisk,
  { counted, stack }: { readonly counted: DiskTracking; readonly stack: AsyncDisposableStack },
): Promise<SnapshotDisk> {
  if (!host.isLocal || path === undefined) {
    throw new HypervisorError(
      'UNSUPPORTED',
      `the machine is off, and the image of disk ${name} (${path ?? type}) is not on this host: start the machine ` +
        'for its backup, paused if it must not run ("virsh start --paused")',
    );
  }
  const { sectorBytes } = described;
  const { since } = counted;
  const of = { name, sectorBytes, where: path };
  // It keeps the machine from being started while its bitmaps are read, too.
  const { disk } = stack.use(await serve(host, path, { format, bitmaps: [] }));
  if (since === undefined) return { ...of, device: disk, changed: undefined, why: counted.why };
  try {
    const { size } = disk.geometry;
    const changed = await changedIn(host, path, { format, bitmap: since, size });
    return { ...of, device: disk, changed, why: undefined };
  } catch (cause) {
    if (!(cause instanceof HypervisorError) && !(cause instanceof BlockError)) throw cause;
    // The bitmap is missing, or was in use when QEMU was killed.
    const why = `the hypervisor has lost what it counted: ${cause.message}`;
    return { ...of, device: disk, changed: undefined, why };
  }
}

interface Counting {
  readonly format: string;
  readonly bitmap: string;
  /** The size of the disk in bytes. */
  readonly size: number;
}

/** What has changed since the checkpoint of that name, in all layers. Rejects HypervisorError, BlockError. */
async function changedIn(
  host: LibvirtHost,
  path: string,
  { format, bitmap, size }: Counting,
): Promise<readonly ByteRange[]> {
  const found: ByteRange[] = [];
  for (const layer of await countingLayers(path, { format, bitmap })) {
    await using served = await serve(host, layer.path, {
      format: layer.format,
      bitmaps: [bitmap],
    });
    const ranges = served.disk.dirtyRanges(bitmap, { gap: CHANGED_GAP });
    for await (const range of ranges) found.push(range);
  }
  return unionOf(found, size);
}

/** Ascending, apart from each other, and within the disk: a layer below may be longer. */
function unionOf(ranges: readonly ByteRange[], size: number): readonly ByteRange[] {
  const union: ByteRange[] = [];
  for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const end = Math.min(offset + length, size);
    if (offset >= end) continue;
    const last = union.at(-1);
    if (!last || offset > last.offset + last.length) union.push({ offset, length: end - offset });
    else {
      const until = Math.max(last.offset + last.length, end);
      union[union.length - 1] = { offset: last.offset, length: until - last.offset };
    }
  }
  return union;
}

async function serve(
  { clock }: LibvirtHost,
  path: string,
  { format, bitmaps }: { readonly format: string; readonly bitmaps: readonly string[] },
): Promise<QemuNbd> {
  try {
    return await startQemuNbd(clock, ['--read-only', '--format', format, '--', path], { bitmaps });
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    throw new HypervisorError('FAILED', `${path} cannot be read: ${cause.message}`, { cause });
  }
}
