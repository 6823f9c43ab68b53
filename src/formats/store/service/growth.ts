import { decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';

// How full the disk of the store was, now and then. Grammar: growth.md.

export interface GrowthSample {
  /** ISO 8601, in UTC. */
  readonly time: string;
  /** Of the file system that the store is on. */
  readonly usedBytes: number;
  readonly totalBytes: number;
}

const FORMAT = 'holdfast-growth';
const VERSION = 1;
/** Two weeks of hours: some 30 KiB. */
export const GROWTH_SAMPLES_MAX = 336;

export function encodeGrowth(samples: readonly GrowthSample[]): Uint8Array {
  return encodeSummed({ format: FORMAT, version: VERSION, samples });
}

/** Throws FormatError. */
export function decodeGrowth(bytes: Uint8Array): GrowthSample[] {
  return decodeSummed(bytes, samplesOf);
}

function samplesOf(fields: Fields): GrowthSample[] {
  fields.expect(FORMAT, VERSION);
  return fields.list('samples', GROWTH_SAMPLES_MAX, (sample) => ({
    time: sample.text('time'),
    usedBytes: sample.integer('usedBytes', 0, Number.MAX_SAFE_INTEGER),
    totalBytes: sample.integer('totalBytes', 0, Number.MAX_SAFE_INTEGER),
  }));
}
