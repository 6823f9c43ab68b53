import type { BlockDevice } from '../../block/block-device.ts';
import { openPointDisks } from '../../catalog/point-disks.ts';
import { asHost } from '../../hypervisors/base/host-failure.ts';
import type { RestoredDisk } from '../../hypervisors/base/restore-driver.ts';
import type { ReservedDisk } from '../../hypervisors/base/run-driver.ts';
import { dataIn } from '../../ingest/restore/restore-limits.ts';
import { rewriteDisk } from '../../ingest/restore/rewrite-disk.ts';
import type { Engine, OpenedPoint, WorkOptions } from '../base/engine.ts';
import type { RestoreHost } from './restore-host.ts';

/** Disks of a recovery point, as they are written back. Disposing closes them. */
export interface RestoredDisks extends AsyncDisposable {
  /** How large they are, and how much of that is data. */
  measure(signal: AbortSignal): Promise<readonly RestoredDisk[]>;
  /**
   * Writes them to what was reserved for them, reads them back and compares. Rejects HypervisorError, BlockError,
   * IngestError VERIFY. Answers the bytes written of each.
   */
  write(to: RestoreHost, reserved: readonly ReservedDisk[], work: Writing): Promise<Written>;
}

type Writing = Pick<WorkOptions, 'signal' | 'report'>;
type Written = ReadonlyMap<string, number>;

/** `names`: the only ones. Rejects NOT_FOUND if the recovery point has been forgotten. */
export async function openRestoredDisks(
  { store, workers }: Engine,
  { set, point }: OpenedPoint,
  names: readonly string[],
): Promise<RestoredDisks> {
  const wanted = { id: point.id, disks: point.disks.filter(({ name }) => names.includes(name)) };
  const holder = `restore of ${point.id}`;
  const opened = await openPointDisks(store, wanted, { set, threads: workers, holder });
  const disks = new Map<string, BlockDevice>(
    opened.disks.map(({ name, device }) => [name, device]),
  );
  return {
    async measure(signal) {
      const found: RestoredDisk[] = [];
      for (const [name, disk] of disks) {
        found.push({ name, size: disk.geometry.size, data: await dataIn(disk, signal) });
      }
      return found;
    },
    async write({ restore }, reserved, { signal, report }) {
      const written = new Map<string, number>();
      for (const it of reserved) {
        await using target = await restore.open(it, signal);
        const onProgress = ({ phase, ...rest }: Progress): void =>
          report({ event: 'progress', phase: `${phase} ${it.name}`, ...rest });
        // What a block device held before is overwritten; in a new image, zeros cost nothing.
        const options = { isEmpty: false, signal, onProgress };
        const { writtenBytes } = await asHost(rewriteDisk(disks.get(it.name)!, target, options));
        written.set(it.name, writtenBytes);
      }
      return written;
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

interface Progress {
  readonly phase: string;
  readonly position: number;
  readonly total: number;
}
