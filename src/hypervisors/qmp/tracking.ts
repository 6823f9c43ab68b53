import type { Tracking } from '../../formats/store/catalog/machine.ts';
import type { QmpBitmap, QmpNode } from '../../formats/wire/qmp-answers.ts';
import type { QemuDisk } from './disks.ts';
import { markOf, type QmpHost } from './qmp-host.ts';
import { whyUntracked } from '../base/snapshot-findings.ts';
import type { DiskTracking } from '../base/backup-driver.ts';

/*
 * QEMU counts changes in dirty bitmaps. Each backup adds one to each disk, at its moment; it belongs to the recovery
 * point, and goes when the next one is published. In a qcow2 image it outlasts the end of QEMU; that of another format
 * lasts as long as QEMU does.
 */

export function bitmapOf(host: Pick<QmpHost, 'owner'>, point: string): string {
  return `${markOf(host)}${point}`;
}

/** By disk. */
export function planTracking(
  all: readonly QemuDisk[],
  {
    read,
    nodes,
    since,
  }: {
    /** Those that are read. */
    readonly read: readonly QemuDisk[];
    readonly nodes: readonly QmpNode[];
    readonly since: Tracking | undefined;
  },
): ReadonlyMap<string, DiskTracking> {
  const blocked = whyUntracked(internalSnapshots(all));
  const bitmaps = new Map(nodes.map(({ name, bitmaps: of }) => [name, of]));
  return new Map(
    read.map(({ name, medium }) => {
      const untracked = blocked ?? (medium!.isReadOnly ? READ_ONLY : undefined);
      const counted = countedFrom(bitmaps.get(medium!.node) ?? [], since, medium!.driver);
      const why = since && (untracked ?? counted.why);
      const of: DiskTracking = {
        since: why === undefined ? counted.bitmap : undefined,
        ...{ why, isTracked: untracked === undefined },
      };
      return [name, of];
    }),
  );
}

const READ_ONLY = 'it is read-only: QEMU counts no changes of it';

/** Names of the snapshots that lie inside the machine's images. */
export function internalSnapshots(disks: readonly QemuDisk[]): readonly string[] {
  return [...new Set(disks.flatMap(({ medium }) => medium?.snapshots ?? []))];
}

interface Counted {
  readonly bitmap: string | undefined;
  readonly why: string | undefined;
}

function countedFrom(
  bitmaps: readonly QmpBitmap[],
  since: Tracking | undefined,
  driver: string,
): Counted {
  const none = (why: string): Counted => ({ bitmap: undefined, why });
  if (!since) return { bitmap: undefined, why: undefined };
  if (since.kind !== 'qemu') {
    return none('the last backup was made through another kind of hypervisor');
  }
  const found = bitmaps.find(({ name }) => name === since.bitmap);
  if (!found)
    return none(keepsBitmaps(driver) ? GONE : `${GONE}; its image is ${driver}: ${BRIEF}`);
  if (found.isInconsistent) {
    return none(
      'QEMU was killed, or the host lost power, while it counted its changes: what was counted is not complete',
    );
  }
  if (!found.isRecording) return none('another program has stopped the counting of its changes');
  return { bitmap: since.bitmap, why: undefined };
}

const GONE =
  'QEMU does not count its changes since the last backup: QEMU was killed, or the host lost power; or the disk was ' +
  'added, its image was replaced, or another program has removed the bitmap';
export const BRIEF = 'QEMU counts its changes only until it ends';

/** Whether what is counted outlasts the end of QEMU. */
export function keepsBitmaps(driver: string): boolean {
  return driver === 'qcow2';
}
