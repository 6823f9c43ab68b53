import { BlockError } from '../../block/block-error.ts';
import { type NbdDisk, openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';
import { MiB } from '../../lib/sizes.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { TlsServer } from '../../sys/net/tls-client.ts';
import { HypervisorError } from './hypervisor-error.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/* Disks that a QEMU serves over NBD while a backup runs, and what has changed on them. */

/**
 * Ranges this close to each other count as one, so that a fragmented disk has few. The store reads whole segments of
 * 1 MiB that a range touches: no segment is read for that alone.
 */
export const CHANGED_GAP = MiB - 1;

interface Served {
  /** `nbd+unix:` or `nbds:`. */
  readonly uri: string;
  /** How the server of an `nbds` URI proves who it is. */
  readonly tls?: TlsServer | undefined;
  /** The name of the disk, and of the export. */
  readonly disk: string;
  /** The bitmap that `changedOf` will be asked for. */
  readonly bitmap: string | undefined;
  readonly signal: AbortSignal;
}

/** Rejects HypervisorError: DENIED, UNREACHABLE. */
export async function openServedDisk(served: Served): Promise<NbdDisk> {
  const { uri, tls, disk, bitmap, signal } = served;
  const bitmaps = bitmap === undefined ? [] : [bitmap];
  try {
    return await openNbdDisk(uri, { signal, bitmaps, ...(tls && { tls }) });
  } catch (cause) {
    if (!(cause instanceof SystemError) && !(cause instanceof BlockError)) throw cause;
    const code = cause.code === 'DENIED' ? 'DENIED' : 'UNREACHABLE';
    throw new HypervisorError(
      code,
      `QEMU offers disk ${disk}, but it cannot be reached: ${cause.message}. What the way to it needs ` +
        'is shown by "holdfast hypervisor test"',
      { cause },
    );
  }
}

/** All that has changed since the bitmap began; undefined if there is none. */
export async function changedOf(
  device: NbdDisk,
  bitmap: string | undefined,
): Promise<readonly ByteRange[] | undefined> {
  if (bitmap === undefined) return undefined;
  const changed: ByteRange[] = [];
  for await (const range of device.dirtyRanges(bitmap, { gap: CHANGED_GAP })) changed.push(range);
  return changed;
}
