/** Numbers from 0 on, at one bit each up to the greatest. */
export interface Bits {
  /** How many there are. */
  readonly size: number;
  has(at: number): boolean;
  /** False: it was there already. */
  add(at: number): boolean;
  delete(at: number): boolean;
}

export function bits(): Bits {
  let bytes = new Uint8Array(0);
  let size = 0;

  function has(at: number): boolean {
    return ((bytes[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0;
  }
  return {
    get size() {
      return size;
    },
    has,
    add(at) {
      if (has(at)) return false;
      if (bytes.length <= at >>> 3) {
        const grown = new Uint8Array(2 * (at >>> 3) + 1);
        grown.set(bytes);
        bytes = grown;
      }
      bytes[at >>> 3]! |= 1 << (at & 7);
      size++;
      return true;
    },
    delete(at) {
      if (!has(at)) return false;
      bytes[at >>> 3]! &= ~(1 << (at & 7));
      size--;
      return true;
    },
  };
}
