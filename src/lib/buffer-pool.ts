import { KiB } from './sizes.ts';

/**
 * Memory that is used over and over. A fresh buffer of some KiB for each request costs more in garbage collections
 * than filling it does. A buffer still holds what was last written to it.
 */
export interface BufferPool {
  take(length: number): Uint8Array<ArrayBuffer>;
  /** `bytes` must not be used afterwards. */
  give(bytes: Uint8Array<ArrayBuffer>): void;
  /** Gives the spare memory back. */
  clear(): void;
}

const SMALLEST = 4 * KiB;
const LARGEST = 256 * KiB;

/** Keeps up to `spareMax` buffers of each power of two; a buffer longer than `lengthMax` is allocated each time. */
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
