import { crc32 } from 'node:zlib';
import { blake3 } from '@napi-rs/blake-hash';
import type { Location } from './node.ts';

/*
 * The entries of the index of blocks: places by digest, and the packs that it knows. Grammar: index-entry.md.
 *
 *   place: 0 u32 pack   4 u32 offset   8 u32 length   12 u32 crc of digest and 0..12
 *   pack:  0 u64 size   8 u8 sound   9 u32 crc, begun with the pack's number, of 0..9
 */
const PLACE_LENGTH = 16;
const PACK_LENGTH = 13;
/** Longer than a digest, so that it can never be one. */
const PACK_PREFIX = Buffer.from('pack that is wholly in this index: ');

/** A pack whose entries are in the index. */
export interface KnownPack {
  readonly pack: number;
  /** Bytes of the file when it was added; 0: it was missing. */
  readonly size: number;
  /** False: it was damaged or missing, and its entries are not in the index. */
  readonly isSound: boolean;
}

/** From the key of the first pack to that of the last. */
export const KNOWN_PACK_KEYS = { gte: packKey(0), lte: packKey(0xffffffff) };

export function encodePlace(digest: Uint8Array, { pack, offset, length }: Location): Uint8Array {
  const bytes = new Uint8Array(PLACE_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, pack, true);
  view.setUint32(4, offset, true);
  view.setUint32(8, length, true);
  view.setUint32(12, placeCrc(digest, bytes), true);
  return bytes;
}

/** Undefined: it is damaged, or belongs to another digest. */
export function decodePlace(digest: Uint8Array, bytes: Uint8Array): Location | undefined {
  if (bytes.length !== PLACE_LENGTH) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(12, true) !== placeCrc(digest, bytes)) return undefined;
  return {
    pack: view.getUint32(0, true),
    offset: view.getUint32(4, true),
    length: view.getUint32(8, true),
  };
}

export function encodeKnownPack({ pack, size, isSound }: KnownPack): {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
} {
  const value = Buffer.alloc(PACK_LENGTH);
  value.writeBigUInt64LE(BigInt(size), 0);
  value[8] = isSound ? 1 : 0;
  value.writeUInt32LE(crc32(value.subarray(0, 9), pack), 9);
  return { key: packKey(pack), value };
}

/** Undefined: it is damaged. */
export function decodeKnownPack(key: Uint8Array, value: Uint8Array): KnownPack | undefined {
  if (key.length !== PACK_PREFIX.length + 4 || value.length !== PACK_LENGTH) return undefined;
  const bytes = Buffer.from(value);
  const pack = Buffer.from(key).readUInt32BE(PACK_PREFIX.length);
  if (bytes.readUInt32LE(9) !== crc32(bytes.subarray(0, 9), pack)) return undefined;
  return { pack, size: Number(bytes.readBigUInt64LE(0)), isSound: bytes[8] === 1 };
}

/** Longer than a digest, and not the start of a pack's key. */
const WHOLE_PREFIX = Buffer.from('tree without anything that is lost: ');

/** The key of the entry that holds the loss (see `lossOf`) at which the tree with this root was last found whole. */
export function wholeKey(root: Uint8Array): Uint8Array {
  return Buffer.concat([WHOLE_PREFIX, root]);
}

/** Longer than a digest. */
export const SWEEP_MARK_KEY: Uint8Array = Buffer.from(
  'mark of the last sweep that this index knows',
);

/** Names a loss: the numbers of missing packs, and of damaged packs. */
export function lossOf(gone: Iterable<number>, damaged: Iterable<number>): Uint8Array {
  const text = JSON.stringify([[...gone], [...damaged].sort((a, b) => a - b)]);
  return blake3(Buffer.from(text));
}

function packKey(pack: number): Uint8Array {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(pack);
  return Buffer.concat([PACK_PREFIX, number]);
}

function placeCrc(digest: Uint8Array, value: Uint8Array): number {
  return crc32(value.subarray(0, 12), crc32(digest));
}
