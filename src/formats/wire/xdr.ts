import { FormatError } from '../format-error.ts';

/*
 * External Data Representation (RFC 4506), as far as ONC RPC and NFS need it: 32-bit units, big-endian,
 * opaque data padded with zeros to a multiple of four.
 */

/** A cursor over bytes of a peer. Each call throws TRUNCATED or CORRUPT where the bytes do not suffice. */
export interface XdrReader {
  /** From now on it reads `bytes`, from `at` to `end`; they are lent. */
  reset(bytes: Uint8Array, view: DataView, at: number, end: number): void;
  readonly at: number;
  u32(): number;
  /** Inexact beyond 2^53, which is more than any real size or offset. */
  u64(): number;
  flag(): boolean;
  skip(length: number): void;
  /** View into the bytes, of a length that the format fixes. */
  fixed(length: number): Uint8Array;
  /** View into the bytes. */
  opaque(lengthMax: number): Uint8Array;
  /** See `decodeText`. */
  text(lengthMax: number): string;
}

const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Decodes UTF-8 exactly: other bytes yield another text. CORRUPT where they are not UTF-8, because a replacement
 * character for unreadable bytes would make different names equal.
 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new FormatError('CORRUPT', 'a text that is not UTF-8', { cause });
  }
}

export function xdrReader(): XdrReader {
  let bytes = new Uint8Array(0);
  let view = new DataView(bytes.buffer);
  let at = 0;
  let end = 0;

  function take(length: number): number {
    const start = at;
    if (length > end - start) {
      throw new FormatError('TRUNCATED', `${length} bytes wanted, ${end - start} are left`);
    }
    at = start + length;
    return start;
  }
  function u32(): number {
    return view.getUint32(take(4));
  }
  function fixed(length: number): Uint8Array {
    const start = take((length + 3) & ~3);
    return bytes.subarray(start, start + length);
  }
  function opaque(lengthMax: number): Uint8Array {
    const length = u32();
    if (length > lengthMax) throw new FormatError('CORRUPT', `${length} bytes, not ${lengthMax}`);
    return fixed(length);
  }
  return {
    reset(nextBytes, nextView, start, stop) {
      bytes = nextBytes as Uint8Array<ArrayBuffer>;
      view = nextView as DataView<ArrayBuffer>;
      at = start;
      end = stop;
    },
    get at() {
      return at;
    },
    u32,
    u64() {
      const start = take(8);
      return view.getUint32(start) * 2 ** 32 + view.getUint32(start + 4);
    },
    flag: () => u32() !== 0,
    skip: (length) => void take(length),
    fixed,
    opaque,
    text: (lengthMax) => decodeText(opaque(lengthMax)),
  };
}

/** Writes into memory that the caller has made large enough, starting at a multiple of four. */
export interface XdrWriter {
  reset(bytes: Uint8Array, view: DataView, at: number): void;
  at: number;
  u32(value: number): void;
  u64(value: number): void;
  flag(value: boolean): void;
  fixed(value: Uint8Array): void;
  opaque(value: Uint8Array): void;
  text(value: string): void;
  /** Zeros up to the next unit: after data that was put there by other means. */
  pad(): void;
}

export function xdrWriter(): XdrWriter {
  let bytes = new Uint8Array(0);
  let view = new DataView(bytes.buffer);
  const writer: XdrWriter = {
    at: 0,
    reset(nextBytes, nextView, at) {
      bytes = nextBytes as Uint8Array<ArrayBuffer>;
      view = nextView as DataView<ArrayBuffer>;
      writer.at = at;
    },
    u32(value) {
      view.setUint32(writer.at, value);
      writer.at += 4;
    },
    u64(value) {
      view.setUint32(writer.at, Math.floor(value / 2 ** 32));
      view.setUint32(writer.at + 4, value % 2 ** 32);
      writer.at += 8;
    },
    flag: (value) => writer.u32(value ? 1 : 0),
    fixed(value) {
      bytes.set(value, writer.at);
      writer.at += value.length;
      writer.pad();
    },
    opaque(value) {
      writer.u32(value.length);
      writer.fixed(value);
    },
    text: (value) => writer.opaque(Buffer.from(value)),
    pad() {
      while (writer.at % 4 !== 0) bytes[writer.at++] = 0;
    },
  };
  return writer;
}
