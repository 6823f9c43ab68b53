import { FormatError } from '../../format-error.ts';
import { decodeSummed, encodeSummed } from '../base/json-record.ts';

// Another text after each sweep that removed something: sweep-mark.json in the store, with a copy in the index. Its row
// is in json-record.md.

const FORMAT = 'holdfast-sweep-mark';
const VERSION = 1;
export const SWEEP_MARK_LENGTH_MAX = 4096;

/** `mark`: 32 hexadecimal digits. */
export function encodeSweepMark(mark: string): Uint8Array {
  return encodeSummed({ format: FORMAT, version: VERSION, mark });
}

/** Throws FormatError. */
export function decodeSweepMark(bytes: Uint8Array): string {
  return decodeSummed(bytes, (fields) => {
    fields.expect(FORMAT, VERSION);
    const mark = fields.text('mark');
    if (!/^[0-9a-f]{32}$/.test(mark)) throw new FormatError('CORRUPT', `mark "${mark}" of a sweep`);
    return mark;
  });
}
