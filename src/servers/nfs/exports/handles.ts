import type { XdrReader, XdrWriter } from '../../../formats/wire/xdr.ts';
import { HANDLE_LENGTH_MAX } from '../../../formats/wire/nfs3.ts';

/*
 * File handles (RFC 1813, 2.3.3) contain what they refer to, so that they stay valid after a restart or an
 * upgrade. ESXi takes at most 56 bytes.
 *
 *   0 u32 magic "HFnh"   4 u32 version 1   8 u32 tag of the tree   12 u32 its generation   16 u32 node id   20 u32 zero
 */
export const FILE_HANDLE_LENGTH = 24;

const MAGIC = 0x4846_6e68;
const VERSION = 1;

export interface FileHandle {
  readonly tag: number;
  readonly generation: number;
  readonly id: number;
}

/** Undefined: not a handle of this server. */
export function readHandle(reader: XdrReader): FileHandle | undefined {
  const length = reader.u32();
  if (length !== FILE_HANDLE_LENGTH) {
    reader.skip((Math.min(length, HANDLE_LENGTH_MAX) + 3) & ~3);
    return undefined;
  }
  const isOurs = reader.u32() === MAGIC;
  const version = reader.u32();
  const handle = { tag: reader.u32(), generation: reader.u32(), id: reader.u32() };
  const rest = reader.u32();
  return isOurs && version === VERSION && rest === 0 ? handle : undefined;
}

export function writeHandle(writer: XdrWriter, { tag, generation, id }: FileHandle): void {
  writer.u32(FILE_HANDLE_LENGTH);
  for (const word of [MAGIC, VERSION, tag, generation, id, 0]) writer.u32(word);
}
