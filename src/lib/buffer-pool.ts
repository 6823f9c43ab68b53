import { KiB } from './sizes.ts';

/**
 * Memory that is used over and over. A fresh buffer of some KiB for each request costs more in garbage
 * collections than it takes to fill it. What is taken holds what it held before.
 */
export interface BufferPool {
  take(length: number): Uint8Array<ArrayBuffer>;
  /** Nobody may use `bytes` any more. */
  give(bytes: Uint8Array<ArrayBuffer>): void;
  /** Gives the spare memory back. */
  clear(): void;
}

const SMALLEST = 4 * KiB;
const LARGEST = 256 * KiB;

/** Keeps up to `spareMax` buffers of each power of two; what is longer than `lengthMax` is made each time. */
export function bufferPool(spareMax: number, lengthMax = LARGEST): BufferPool {
  const spare = new Map<number, ArrayBuffer[]>();
  const sizeMax = sizeFor(lengthMax);

  return {
    take(length) {
      if (length > sizeMax) return new Uint8Array(length);
      const size = sizeFor(length);
      return new Uint8Array(spare.get(size)?.pop() ?? new ArrayBuffer(size), 0, length);
    },
    give({ buffer }) {
      const { byteLength: size } = buffer;
      if (size > sizeMax) return;
      const list = spare.get(size) ?? [];
      spare.set(size, list);
      if (list.length < spareMax) list.push(buffer);
    },
    clear: () => spare.clear(),
  };
}

function sizeFor(length: number): number {
  return Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(length)));
}
