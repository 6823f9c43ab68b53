import { CatalogError } from '../../catalog/catalog-error.ts';
import { listPoints, readPoint } from '../../catalog/points.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { Tracking } from '../../formats/store/catalog/machine.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { MachineSnapshot, SnapshotDisk } from '../../hypervisors/base/backup-driver.ts';
import type { ChangedBlocks } from '../../ingest/backup/changed-blocks.ts';
import type { Store } from '../../store/directory/store.ts';

/*
 * A list of changes counts only over the point from whose moment it was counted, and over the disk of which it is: over
 * anything else it would leave out blocks that differ, and nothing would ever show it. Where point, disk and list are
 * not known to belong together, the disk is read whole.
 */

/**
 * From where the changes since this recovery point can be counted. Undefined: from nowhere. A session that was kept is
 * no moment of the machine, and a record that was copied, or is from a release that did not note it, does not say to
 * which point its tracking belongs.
 */
export function countedFrom(parent: PointRecord | undefined): Tracking | undefined {
  if (parent?.origin !== 'backup' || parent.tracking?.point !== parent.id) return undefined;
  return parent.tracking;
}

/** From where the next backups count, of all sets: a machine may be backed up to several. */
export async function trackedPoints(store: Store): Promise<readonly Tracking[]> {
  const newest = new Map<string, PointRecord>();
  for (const point of (await listPoints(store, undefined)).points) {
    if (point.origin !== 'backup') continue;
    const key = JSON.stringify([point.set, point.machine]);
    const before = newest.get(key);
    if (!before || before.sequence < point.sequence) newest.set(key, point);
  }
  return [...newest.values()].flatMap((point) => countedFrom(point) ?? []);
}

export interface Counting {
  /** The newest recovery point of the machine. */
  readonly parent: PointRecord | undefined;
  /** The one over whose disks the changes that are counted from `parent` are read; undefined: there is none. */
  readonly over: PointRecord | undefined;
}

/** Finds the recovery point over which changes count. One that was forgotten or is damaged costs a full read. */
export async function countingOf(
  store: Store,
  set: OpenSet,
  parent: PointRecord | undefined,
): Promise<Counting> {
  const since = countedFrom(parent)?.since;
  if (since === undefined) return { parent, over: countedFrom(parent) && parent };
  try {
    const over = await readPoint(store, set, since);
    return { parent, over: over.machine === parent!.machine ? over : undefined };
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return { parent, over: undefined };
  }
}

/** What is read of each disk. */
export function changesOver(
  { parent, over }: Counting,
  { disks }: Pick<MachineSnapshot, 'disks'>,
): ChangedBlocks {
  const unknown = new Map<string, string>();
  const changed = new Map<string, NonNullable<SnapshotDisk['changed']>>();
  for (const disk of disks) {
    const why = whyWhole({ parent, over }, disk);
    if (why === undefined) changed.set(disk.name, disk.changed!);
    else unknown.set(disk.name, why);
  }
  return { since: (over ?? parent)?.id, disks: changed, unknown };
}

/** Undefined: its changes are known, and count. */
function whyWhole({ parent, over }: Counting, disk: SnapshotDisk): string | undefined {
  if (!parent) return 'there is no earlier recovery point of it';
  const tracking = countedFrom(parent);
  if (!tracking) return disk.why ?? whyUncounted(parent);
  if (!disk.changed) return disk.why ?? 'the hypervisor does not tell its changes';
  if (!over) return `the changes are counted since ${tracking.since}, which no longer exists`;
  const source = over.disks.find(({ name }) => name === disk.name)?.source;
  if (source === undefined || source === disk.where) return undefined;
  return `it is in ${disk.where} now, and was in ${source} when ${over.id} was made`;
}

function whyUncounted({ id, tracking }: PointRecord): string {
  if (!tracking)
    return `for ${id}, the last recovery point, the hypervisor could not count changes`;
  return `what ${id}, the last recovery point, notes for counting changes does not belong to it`;
}
