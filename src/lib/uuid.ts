/** The first 16 bytes as a UUID of that version (RFC 9562): 4 for random ones, 8 for those made of something. */
export function uuidFrom(bytes: Uint8Array, version: 4 | 8): string {
  const marked = Buffer.from(bytes.subarray(0, 16));
  marked[6] = (version << 4) | (marked[6]! & 0x0f);
  marked[8] = 0x80 | (marked[8]! & 0x3f);
  const hex = marked.toString('hex');
  return [8, 12, 16, 20, 32].map((end, at) => hex.slice([0, 8, 12, 16, 20][at], end)).join('-');
}
