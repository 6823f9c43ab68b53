import { type BlockDevice, isWritable, type WritableBlockDevice } from './block-device.ts';
import { readLayer, type ReadOps, writeLayer } from './layer.ts';
import type { ByteRange } from '../lib/bytes.ts';

/** A part of a disk as a disk of its own, writable if the whole is. The whole is lent and stays open. */
export function slice(whole: BlockDevice, { offset, length }: ByteRange): BlockDevice {
  const name = `${whole.name} from ${offset}`;
  const geometry = { size: length, blockSize: MIN_BLOCK_LENGTH };
  const reading: ReadOps = {
    tryRead: (into, at, effort) => whole.tryRead(into, offset + at, effort),
    read: (into, at) => whole.read(into, offset + at),
    async extents(at, count) {
      const found = await whole.extents(offset + at, count);
      return found.map((extent) => ({ ...extent, offset: extent.offset - offset }));
    },
  };
  if (!isWritable(whole)) return readLayer(name, geometry, reading);
  const writing: WritableBlockDevice = whole;
  return writeLayer(name, geometry, {
    ...reading,
    tryWrite: (from, at, done) => writing.tryWrite(from, offset + at, done),
    write: (from, at, durability) => writing.write(from, offset + at, durability),
    zero: (at, count, durability) => writing.zero(offset + at, count, durability),
    flush: () => writing.flush(),
  });
}

/** A partition may begin at any sector. */
const MIN_BLOCK_LENGTH = 512;
