import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.ts';
import { MiB } from '../../../lib/sizes.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import { DIGEST_LENGTH } from '../base/digest.ts';
import type { FrameKind } from './frame.ts';

/*
 * A pack: header, frames back to back, footer, trailer. Grammar: pack.md.
 *
 *   header:  0 u32 magic "HFpk"  4 u8 version  5 u8 kind  6 u16 zero  8 u32 number  12 16 domain  28 u32 crc
 *   footer:  entries; each 0 32 digest  32 u32 offset  36 u32 length
 *   trailer: 0 u32 entry count  4 u32 crc of the entries  8 u32 footer offset  12 u32 crc of 0..12  16 u32 magic
 */
export const PACK_HEADER_LENGTH = 32;
export const PACK_TRAILER_LENGTH = 20;
export const PACK_ENTRY_LENGTH = 40;
export const DOMAIN_LENGTH = 16;

/** The greatest number that fits in a file's name. */
export const PACK_NUMBER_MAX = 99_999_999;
/** Packs are sealed when they reach this length; they may exceed it by one frame. */
export const PACK_LENGTH = 64 * MiB;
/** The entries of a pack of the smallest frames: limits what a footer may list, and so the memory to read it. */
export const ENTRY_COUNT_MAX = 1 << 20;

export interface PackHeader {
  readonly kind: FrameKind;
  readonly number: number;
  readonly domain: Uint8Array;
}

export interface PackEntry {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

export interface PackTrailer {
  readonly count: number;
  readonly footerOffset: number;
  readonly entriesCrc: number;
}

const MAGIC = 0x6b704648;
const TRAILER_MAGIC = 0x74704648;
const VERSION = 1;
const KINDS = { block: 1, node: 2 } as const satisfies Record<FrameKind, number>;

export function encodePackHeader({ kind, number, domain }: PackHeader): Uint8Array {
  assert(domain.length === DOMAIN_LENGTH, `domain id of ${domain.length}`);
  const bytes = new Uint8Array(PACK_HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  bytes[5] = KINDS[kind];
  view.setUint32(8, number, true);
  bytes.set(domain, 12);
  view.setUint32(28, crc32(bytes.subarray(0, 28)), true);
  return bytes;
}

export function decodePackHeader(bytes: Uint8Array): PackHeader {
  if (bytes.length < PACK_HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `pack of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, PACK_HEADER_LENGTH);
  if (view.getUint32(0, true) !== MAGIC) throw new FormatError('BAD_MAGIC', 'not a pack');
  if (bytes[4] !== VERSION) throw new FormatError('UNSUPPORTED', `pack version ${bytes[4]}`);
  const kind = bytes[5] === KINDS.block ? 'block' : 'node';
  if (view.getUint32(28, true) !== crc32(bytes.subarray(0, 28)) || bytes[5] !== KINDS[kind]) {
    throw new FormatError('CORRUPT', 'pack header fails its checksum');
  }
  checkZero(bytes, { from: 6, to: 8 }, 'pack header');
  return { kind, number: view.getUint32(8, true), domain: bytes.slice(12, 12 + DOMAIN_LENGTH) };
}

/** The checksum of a pack's entries, in its trailer. */
export function packEntriesCrc(entries: readonly PackEntry[]): number {
  return crc32(encodePackEntries(entries));
}

function encodePackEntries(entries: readonly PackEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * PACK_ENTRY_LENGTH);
  const view = new DataView(bytes.buffer);
  entries.forEach((entry, index) => {
    const at = index * PACK_ENTRY_LENGTH;
    bytes.set(entry.digest, at);
    view.setUint32(at + 32, entry.offset, true);
    view.setUint32(at + 36, entry.length, true);
  });
  return bytes;
}

/** Footer and trailer of a pack whose frames end at `footerOffset`. */
export function encodePackFooter(entries: readonly PackEntry[], footerOffset: number): Uint8Array {
  const length = entries.length * PACK_ENTRY_LENGTH;
  const bytes = new Uint8Array(length + PACK_TRAILER_LENGTH);
  const view = new DataView(bytes.buffer);
  bytes.set(encodePackEntries(entries));
  view.setUint32(length, entries.length, true);
  view.setUint32(length + 4, crc32(bytes.subarray(0, length)), true);
  view.setUint32(length + 8, footerOffset, true);
  view.setUint32(length + 12, crc32(bytes.subarray(length, length + 12)), true);
  view.setUint32(length + 16, TRAILER_MAGIC, true);
  return bytes;
}

/** `bytes`: the last PACK_TRAILER_LENGTH of a pack of `size` bytes. */
export function decodePackTrailer(bytes: Uint8Array, size: number): PackTrailer {
  if (bytes.length < PACK_TRAILER_LENGTH) throw new FormatError('TRUNCATED', 'pack has no trailer');
  const view = new DataView(bytes.buffer, bytes.byteOffset, PACK_TRAILER_LENGTH);
  if (view.getUint32(16, true) !== TRAILER_MAGIC) {
    throw new FormatError('BAD_MAGIC', 'pack is not sealed, or its end is damaged');
  }
  if (view.getUint32(12, true) !== crc32(bytes.subarray(0, 12))) {
    throw new FormatError('CORRUPT', 'pack trailer fails its checksum');
  }
  const count = view.getUint32(0, true);
  const footerOffset = view.getUint32(8, true);
  const end = footerOffset + count * PACK_ENTRY_LENGTH + PACK_TRAILER_LENGTH;
  if (count > ENTRY_COUNT_MAX || end !== size) {
    throw new FormatError('CORRUPT', `pack of ${size} bytes, whose trailer says ${end}`);
  }
  return { count, footerOffset, entriesCrc: view.getUint32(4, true) };
}

/** `bytes`: the footer's entries. Digests are views into them. */
export function decodePackEntries(bytes: Uint8Array, trailer: PackTrailer): PackEntry[] {
  if (crc32(bytes) !== trailer.entriesCrc || bytes.length !== trailer.count * PACK_ENTRY_LENGTH) {
    throw new FormatError('CORRUPT', 'pack footer fails its checksum');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: trailer.count }, (_, index) => {
    const at = index * PACK_ENTRY_LENGTH;
    return {
      digest: bytes.subarray(at, at + DIGEST_LENGTH),
      offset: view.getUint32(at + 32, true),
      length: view.getUint32(at + 36, true),
    };
  });
}
