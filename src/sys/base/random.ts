import { randomBytes } from 'node:crypto';

/** Unpredictable bytes, injected so that tests can repeat them. */
export interface Random {
  bytes(length: number): Uint8Array;
}

export function systemRandom(): Random {
  return { bytes: (length) => randomBytes(length) };
}
