import type { BlockDevice } from '../../block/block-device.ts';
import type { SectorSize } from '../../formats/store/catalog/point.ts';
import { IngestError } from './ingest-error.ts';
import { sectorSizeOf } from './sector-size.ts';

/**
 * A disk to be backed up, open for reading, wherever it comes from; every kind passes the same suite
 * (test/ingest/source/conformance.ts). Its device says how large it is, which ranges read as zeros, and gives its
 * bytes; what changed since an earlier backup is counted for a whole machine (backup/changed-blocks.ts). Closing it
 * ends all that was opened or started for it.
 */
export interface Source extends AsyncDisposable {
  /** Whole sectors, at least one. */
  readonly device: BlockDevice;
  /** Names it for people, and is recorded with the disk: an absolute path, or a URI. */
  readonly where: string;
  /** As a guest sees its sectors; undefined: as usual. */
  readonly sectorSize: SectorSize | undefined;
}

const SECTOR = 512;

/**
 * A source of what is in `stack`, which it takes over. `own`: the sector size of the device that the disk lies on.
 * Rejects BAD_IMAGE.
 */
export async function ownedSource(
  device: BlockDevice,
  where: string,
  { own, stack }: { readonly own?: number | undefined; readonly stack: AsyncDisposableStack },
): Promise<Source> {
  requireWhole(device, where);
  const sectorSize = await sectorSizeOf(device, own);
  const owned = stack.move();
  return { device, where, sectorSize, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Disks are whole sectors: what is not was cut off. */
function requireWhole({ geometry: { size } }: BlockDevice, where: string): void {
  if (size > 0 && size % SECTOR === 0) return;
  const why = size === 0 ? 'is empty' : `has ${size} bytes, no whole number of sectors: truncated?`;
  throw new IngestError('BAD_IMAGE', `${where} ${why}`);
}
