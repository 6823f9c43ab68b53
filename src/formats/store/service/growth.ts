import { decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';

// Samples of how full the store's disk was. Grammar: growth.md.

export interface GrowthSample {
  /** ISO 8601, in UTC. */
  readonly time: string;
  /** Bytes used on the file system of the store. */
  readonly usedBytes: number;
  readonly totalBytes: number;
}

const FORMAT = 'holdfast-growth';
const VERSION = 1;
/** One an hour for two weeks: some 30 KiB. */
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
