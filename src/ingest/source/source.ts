import type { BlockDevice } from '../../block/block-device.ts';
import type { SectorSize } from '../../formats/store/catalog/point.ts';
import { IngestError } from './ingest-error.ts';
import { sectorSizeOf } from './sector-size.ts';

/**
 * A disk to back up, open for reading, of any origin; every kind passes the same suite
 * (test/ingest/source/conformance.ts). Its device gives its size, the ranges that read as zeros, and its bytes;
 * changes since an earlier backup are listed for a whole machine (backup/changed-blocks.ts). Closing it ends all that
 * was opened or started for it.
 */
export interface Source extends AsyncDisposable {
  /** The disk: whole sectors, at least one. */
  readonly device: BlockDevice;
  /** Names it for people, and is recorded with the disk: an absolute path, or a URI. */
  readonly where: string;
  /** The sector size as a guest sees it; undefined: the usual one. */
  readonly sectorSize: SectorSize | undefined;
}

const SECTOR = 512;

/**
 * A source of the resources in `stack`, which it takes over. `own`: the sector size of the device on which the disk
 * lies. Rejects BAD_IMAGE.
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

/** Disks have whole sectors: anything else was truncated. */
function requireWhole({ geometry: { size } }: BlockDevice, where: string): void {
  if (size > 0 && size % SECTOR === 0) return;
  const why =
    size === 0
      ? 'is empty'
      : `has ${size} bytes, which is not a whole number of sectors: truncated?`;
  throw new IngestError('BAD_IMAGE', `${where} ${why}`);
}
