import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { noise, pattern } from './random.ts';

const MiB = 2 ** 20;

/** A sparse raw disk with some data that compresses, some that does not, and a doubled part. */
export function makeRawDisk(path: string, size = 24 * MiB, salt = 0): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  writeSync(fd, pattern(300_000, salt), 0, 300_000, 0);
  writeSync(fd, noise(2 * MiB, salt + 1), 0, 2 * MiB, 5 * MiB + 4096);
  writeSync(fd, noise(2 * MiB, salt + 1), 0, 2 * MiB, 12 * MiB);
  writeSync(fd, noise(70_000, salt + 2), 0, 70_000, size - 70_000);
  closeSync(fd);
}

export function overwrite(path: string, bytes: Uint8Array, offset: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

export function sameFiles(a: string, b: string): boolean {
  return Buffer.compare(readFileSync(a), readFileSync(b)) === 0;
}
