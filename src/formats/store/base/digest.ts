import { Blake3Hasher, blake3 } from '@napi-rs/blake-hash';
import { concatBytes, copyBytes } from '../../../lib/bytes.ts';

export const DIGEST_LENGTH = 32;

/** Largest input of one digest: the largest block, and the largest node with room to spare. */
const INPUT_LENGTH_MAX = 256 * 1024;

/**
 * Names blocks and nodes: BLAKE3 over `key` and then the bytes. With a secret key of fixed length in front BLAKE3 is
 * a keyed function (it has no length extension), so that without the key a name reveals nothing about the contents.
 * One-shot over a joined buffer is nearly twice as fast through the binding as a keyed hasher object. Not to be
 * shared between threads: it owns a scratch buffer.
 */
export function digester(key: Uint8Array): (bytes: Uint8Array) => Uint8Array {
  const scratch = new Uint8Array(key.length + INPUT_LENGTH_MAX);
  scratch.set(key);
  return (bytes) => {
    copyBytes(bytes, scratch, key.length);
    return blake3(scratch.subarray(0, key.length + bytes.length));
  };
}

/** The same function for occasional use. */
export function keyedHash(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return blake3(concatBytes(key, bytes));
}

/** BLAKE3 over bytes that are never in memory all at once. */
export interface RunningDigest {
  update(bytes: Uint8Array): void;
  /** Over all bytes so far. */
  value(): Uint8Array;
}

export function runningDigest(): RunningDigest {
  const hasher = new Blake3Hasher();
  return {
    update: (bytes) =>
      void hasher.update(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
    value: () => Uint8Array.from(hasher.digestBuffer()),
  };
}

/** A digest as a map's key. */
export function digestKey(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('latin1');
}
