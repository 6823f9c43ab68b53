import type { WritableBlockDevice } from './block-device.ts';
import { writeLayer } from './layer.ts';

/** A disk in memory, `contents` itself; for tests, and for small synthesized disks. */
export function memoryDevice(contents: Uint8Array): WritableBlockDevice {
  const geometry = { size: contents.length, blockSize: 512 };
  function read(into: Uint8Array, offset: number): boolean {
    into.set(contents.subarray(offset, offset + into.length));
    return true;
  }
  return writeLayer('memory', geometry, {
    tryRead: read,
    async read(into, offset) {
      read(into, offset);
    },
    async write(from, offset) {
      contents.set(from, offset);
    },
    async zero(offset, length) {
      contents.fill(0, offset, offset + length);
    },
    async flush() {},
  });
}
