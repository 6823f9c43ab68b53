import { argon2 } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(argon2);

export interface Argon2Parameters {
  readonly salt: Uint8Array;
  readonly memoryKiB: number;
  readonly passes: number;
}

/** Argon2id (RFC 9106) with one lane, on a thread of its own: it takes long, and guests must not wait for it. */
export async function argon2id(
  passphrase: Uint8Array,
  { salt, memoryKiB, passes }: Argon2Parameters,
  length: number,
): Promise<Uint8Array> {
  return derive('argon2id', {
    message: passphrase,
    nonce: salt,
    memory: memoryKiB,
    passes,
    parallelism: 1,
    tagLength: length,
  });
}
