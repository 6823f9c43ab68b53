import { decodeJsonRecord, encodeJsonRecord, type Fields } from '../base/json-record.ts';

// The ranges that a machine read in the first minutes of its last boot. Framing: json-record.md.

export interface BootProfile {
  readonly machine: string;
  readonly disks: readonly DiskProfile[];
}

export interface DiskProfile {
  readonly name: string;
  /** In the order in which they were first read. */
  readonly ranges: readonly { readonly offset: number; readonly length: number }[];
}

const FORMAT = 'holdfast-boot-profile';
const VERSION = 1;
const DISKS_MAX = 256;
/** Some 1.5 MiB of text; at 64 KiB each they are 4 GiB of disk, more than any cache. */
export const PROFILE_RANGES_MAX = 65_536;

export function encodeProfile({ machine, disks }: BootProfile, key: Uint8Array): Uint8Array {
  return encodeJsonRecord({ format: FORMAT, version: VERSION, machine, disks }, key);
}

/** Throws FormatError. Without a key it is not authenticated. */
export function decodeProfile(bytes: Uint8Array, key: Uint8Array | undefined): BootProfile {
  return decodeJsonRecord(bytes, key, profileOf);
}

function profileOf(fields: Fields): BootProfile {
  fields.expect(FORMAT, VERSION);
  return {
    machine: fields.text('machine'),
    disks: fields.list('disks', DISKS_MAX, (disk) => ({
      name: disk.text('name'),
      ranges: disk.list('ranges', PROFILE_RANGES_MAX, (range) => ({
        offset: range.integer('offset', 0, Number.MAX_SAFE_INTEGER),
        length: range.integer('length', 1, Number.MAX_SAFE_INTEGER),
      })),
    })),
  };
}
