import { viewOf } from '../../lib/bytes.ts';

/* VirtualBox's disk image. image.md */

export const VDI_HEADER_LENGTH = 512;

export interface VdiHeader {
  readonly hasParent: boolean;
  /** The disk's size in bytes. */
  readonly size: number;
}

const MAGIC = 0xbeda107f;
const UNDO = 3;
const DIFFERENCING = 4;

export function decodeVdiHeader(bytes: Uint8Array): VdiHeader | undefined {
  if (bytes.length < VDI_HEADER_LENGTH) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(64, true) !== MAGIC) return undefined;
  const type = view.getUint32(76, true);
  const isLinked = bytes.subarray(424, 440).some((byte) => byte !== 0);
  return {
    hasParent: type === UNDO || type === DIFFERENCING || isLinked,
    size: Number(view.getBigUint64(368, true)),
  };
}
