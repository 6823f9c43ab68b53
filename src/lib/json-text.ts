/** JSON in which bytes are hexadecimal. */
export function jsonText(value: object): string {
  return JSON.stringify(value, hexadecimal);
}

function hexadecimal(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}
