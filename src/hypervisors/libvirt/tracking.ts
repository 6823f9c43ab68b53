import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../formats/wire/libvirt-calls.ts';
import type { Tracking } from '../../formats/store/catalog/machine.ts';
import { readCheckpoint } from './backup-xml.ts';
import type { DomainDisk } from './domain.ts';
import { isNumber } from './libvirt-error.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { whyUntracked } from '../base/snapshot-findings.ts';
import type { DiskTracking } from '../base/backup-driver.ts';

/*
 * libvirt counts changes by checkpoints: each disk has a bitmap of the checkpoint's name in its image. One is made with
 * each backup, belongs to the recovery point of it, and goes when the next recovery point is published.
 */

const PREFIX = 'holdfast';

/** The name of the checkpoint of a recovery point. */
export function checkpointName({ owner }: Pick<LibvirtHost, 'owner'>, point: string): string {
  return `${PREFIX}-${owner}-${point}`;
}

/** Whether a backup of ours made it. */
export function isOurs({ owner }: Pick<LibvirtHost, 'owner'>, name: string): boolean {
  return name.startsWith(`${PREFIX}-${owner}-`);
}

/** Names of the snapshots that lie inside the machine's images. */
export async function internalSnapshots(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { all } = await link.call(
    LIBVIRT_CALLS.snapshots,
    { domain, wanted: 1, flags: LIBVIRT_FLAGS.snapshots.internal },
    signal,
  );
  return all.map(({ name }) => name);
}

interface Asked {
  readonly domain: LibvirtDomain;
  readonly disks: readonly DomainDisk[];
  readonly since: Tracking | undefined;
  readonly signal: AbortSignal;
}

/** By disk: what the backup can count, and from where. */
export async function planTracking(
  host: LibvirtHost,
  { domain, disks, since, signal }: Asked,
): Promise<ReadonlyMap<string, DiskTracking>> {
  const blocked = whyUntracked(await internalSnapshots(host, domain, signal));
  const counted = await countedBy(host, { domain, since, signal });
  return new Map(disks.map((disk) => [disk.name, trackingOf(disk, { since, counted, blocked })]));
}

function trackingOf(
  disk: DomainDisk,
  {
    since,
    counted,
    blocked,
  }: {
    readonly since: Tracking | undefined;
    readonly counted: Counted;
    readonly blocked: string | undefined;
  },
): DiskTracking {
  const untracked = blocked ?? whyUncounted(disk);
  const isTracked = untracked === undefined;
  if (!since) return { since: undefined, why: undefined, isTracked };
  const why = untracked ?? counted.why ?? (counted.disks.has(disk.name) ? undefined : ADDED);
  return { since: why === undefined ? counted.checkpoint : undefined, why, isTracked };
}

const ADDED =
  'it was added, or the hypervisor began to count its changes, only after the last backup';

function whyUncounted({ format, isReadOnly }: DomainDisk): string | undefined {
  if (isReadOnly)
    return 'the guest may only read it: libvirt keeps track of no changes of such disks';
  if (format === 'qcow2') return undefined;
  return `its image is ${format}: QEMU can keep track of changes only in qcow2 images`;
}

/** What a checkpoint counts. */
interface Counted {
  readonly checkpoint: string;
  readonly disks: ReadonlySet<string>;
  /** Why nothing can be counted from it; undefined: something can. */
  readonly why: string | undefined;
}

async function countedBy(
  host: LibvirtHost,
  { domain, since, signal }: Omit<Asked, 'disks'>,
): Promise<Counted> {
  const checkpoint = since?.kind === 'libvirt' ? since.checkpoint : '';
  const none = (why: string): Counted => ({ checkpoint, disks: new Set(), why });
  if (!since) return none('');
  if (since.kind !== 'libvirt')
    return none('the last backup was made through another kind of hypervisor');
  const found = await checkpointDisks(host, domain, { checkpoint, signal });
  if (found) return { checkpoint, disks: new Set(found), why: undefined };
  return none(
    `the hypervisor no longer has the checkpoint ${checkpoint}: the machine was defined again, moved, or reverted, ` +
      'or the checkpoint was deleted',
  );
}

/** The disks that a checkpoint counts; undefined: there is no such checkpoint. */
async function checkpointDisks(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  { checkpoint, signal }: { readonly checkpoint: string; readonly signal: AbortSignal },
): Promise<readonly string[] | undefined> {
  try {
    const named = await link.call(
      LIBVIRT_CALLS.checkpointByName,
      { domain, name: checkpoint, flags: 0 },
      signal,
    );
    const flags = LIBVIRT_FLAGS.checkpointXml.withoutDomain;
    return readCheckpoint(await link.call(LIBVIRT_CALLS.checkpointXml, { named, flags }, signal))
      .disks;
  } catch (cause) {
    if (isNumber(cause, LIBVIRT_ERRORS.noCheckpoint)) return undefined;
    throw cause;
  }
}
