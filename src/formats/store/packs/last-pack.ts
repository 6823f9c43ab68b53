import { decodeSummed, encodeSummed } from '../base/json-record.ts';
import { PACK_NUMBER_MAX } from './pack.ts';

// The number of the last pack to which recovery points may refer: last-pack.json in the store. Its row is in
// json-record.md.

const FORMAT = 'holdfast-last-pack';
const VERSION = 1;
export const LAST_PACK_LENGTH_MAX = 4096;

export function encodeLastPack(number: number): Uint8Array {
  return encodeSummed({ format: FORMAT, version: VERSION, number });
}

/** Throws FormatError. */
export function decodeLastPack(bytes: Uint8Array): number {
  return decodeSummed(bytes, (fields) => {
    fields.expect(FORMAT, VERSION);
    return fields.integer('number', 0, PACK_NUMBER_MAX);
  });
}
