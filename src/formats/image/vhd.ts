import { latin1, viewOf } from '../../lib/bytes.ts';

/* Microsoft's Virtual Hard Disk. image.md */

export const VHD_FOOTER_LENGTH = 512;
export const VHD_DYNAMIC_HEADER_LENGTH = 1024;

export interface VhdFooter {
  readonly kind: 'fixed' | 'dynamic' | 'differencing' | 'unknown';
  /** The disk's size in bytes. */
  readonly size: number;
  /** Offset of a dynamic disk's header. */
  readonly dynamicHeader: number;
  readonly isChecksumRight: boolean;
}

export interface VhdDynamicHeader {
  readonly table: number;
  readonly entries: number;
  readonly blockLength: number;
}

const KINDS: Readonly<Record<number, VhdFooter['kind']>> = {
  2: 'fixed',
  3: 'dynamic',
  4: 'differencing',
};
const CHECKSUM = 64;
const ABSENT = 0xffff_ffff;
const SECTOR = 512;

export function decodeVhdFooter(bytes: Uint8Array): VhdFooter | undefined {
  if (bytes.length < VHD_FOOTER_LENGTH || latin1(bytes, 0, 8) !== 'conectix') return undefined;
  const view = viewOf(bytes);
  let sum = 0;
  for (let at = 0; at < VHD_FOOTER_LENGTH; at++) {
    if (at < CHECKSUM || at >= CHECKSUM + 4) sum += bytes[at]!;
  }
  return {
    kind: KINDS[view.getUint32(60)] ?? 'unknown',
    size: Number(view.getBigUint64(48)),
    dynamicHeader: Number(view.getBigUint64(16)),
    isChecksumRight: view.getUint32(CHECKSUM) === ~sum >>> 0,
  };
}

export function decodeVhdDynamicHeader(bytes: Uint8Array): VhdDynamicHeader | undefined {
  if (bytes.length < VHD_DYNAMIC_HEADER_LENGTH || latin1(bytes, 0, 8) !== 'cxsparse') {
    return undefined;
  }
  const view = viewOf(bytes);
  return {
    table: Number(view.getBigUint64(16)),
    entries: view.getUint32(28),
    blockLength: view.getUint32(32),
  };
}

/** The end of the last block in (a part of) the table; 0: there are none. */
export function vhdBlocksEnd(table: Uint8Array, blockLength: number): number {
  const view = viewOf(table);
  const bits = blockLength / SECTOR / 8;
  const bitmapLength = Math.ceil(bits / SECTOR) * SECTOR;
  let end = 0;
  for (let at = 0; at + 4 <= table.length; at += 4) {
    const sector = view.getUint32(at);
    if (sector !== ABSENT) end = Math.max(end, sector * SECTOR + bitmapLength + blockLength);
  }
  return end;
}
