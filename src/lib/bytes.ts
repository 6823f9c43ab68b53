/** Offset and length of bytes of a disk or a file. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** The parts joined, in memory of their own. No Buffer: its `slice` would not copy. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * Copies to `into`, from its byte `at` on. From or to shared memory this is twice as fast as `set`, which copies word
 * by word there; `copy` does too, unless it is given a part of a buffer.
 */
export function copyBytes(from: Uint8Array, into: Uint8Array, at: number): void {
  const start = from.byteOffset;
  Buffer.from(from.buffer).copy(into, at, start, start + from.length);
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function latin1(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(
    'latin1',
    at,
    at + length,
  );
}
