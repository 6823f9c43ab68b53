/** Unpredictable bytes, so that tests can repeat them. */
export interface Random {
  bytes(length: number): Uint8Array;
}
