import type { BlockDevice } from '../../block/block-device.ts';
import { LARGE_SECTOR, type SectorSize } from '../../formats/store/catalog/point.ts';

/** UEFI 2.10, 5.3.2: the signature at the second sector. */
const GPT = 'EFI PART';
const USUAL_SECTOR = 512;

/** The sector size by a GUID partition table; undefined: there is none. */
export async function tableSectorSize(
  disk: BlockDevice,
): Promise<SectorSize | typeof USUAL_SECTOR | undefined> {
  if (disk.geometry.size < 2 * LARGE_SECTOR) return undefined;
  const head = new Uint8Array(2 * LARGE_SECTOR);
  await disk.read(head, 0);
  return ([USUAL_SECTOR, LARGE_SECTOR] as const).find(
    (at) => Buffer.from(head.buffer, at, GPT.length).toString('latin1') === GPT,
  );
}

/**
 * The sector size as a guest sees it; undefined: the usual one. The partition table is decisive: a device with large
 * sectors may hold the disk of a guest that sees small ones. For the same reason the minimum request of an NBD server
 * says nothing: QEMU's takes it from the device below. `own`: the sector size of the device that is read.
 */
export async function sectorSizeOf(
  disk: BlockDevice,
  own: number | undefined,
): Promise<SectorSize | undefined> {
  if (disk.geometry.size % LARGE_SECTOR !== 0) return undefined;
  const size = (await tableSectorSize(disk)) ?? own;
  return size === LARGE_SECTOR ? LARGE_SECTOR : undefined;
}
