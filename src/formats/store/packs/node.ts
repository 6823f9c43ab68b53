import { assert } from '../../../lib/assert.ts';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import { DIGEST_LENGTH } from '../base/digest.ts';
import { FRAME_LENGTH_MAX, PLAIN_LENGTH_MAX } from './frame.ts';

/*
 * A node of a manifest tree: the contents of one segment of a disk (level 0), or of up to 256 nodes of
 * the level below. Grammar: node.md.
 *
 *   0 u32 magic "HFnd"   4 u8 version   5 u8 level   6 u16 entry count   8 u64 zero   16 entries
 *   entry: 0 u8 at   1 u8 span - 1   2 u16 zero   4 u32 pack   8 u32 offset   12 u32 length   16 digest
 */
export const PAGE_LENGTH = 4096;
export const SEGMENT_LENGTH = 1024 * 1024;
export const SEGMENT_PAGES = SEGMENT_LENGTH / PAGE_LENGTH;
export const FAN_OUT = 256;
/** Pages in the largest block. */
const SPAN_MAX = PLAIN_LENGTH_MAX / PAGE_LENGTH;
/** 256^5 segments are more bytes than a safe integer can count. */
export const LEVEL_MAX = 5;

/** Where a frame was when its referrer was written. It may be stale after compaction: then the index knows. */
export interface Location {
  readonly pack: number;
  readonly offset: number;
  /** Length of the whole frame. */
  readonly length: number;
}

export interface Reference extends Location {
  readonly digest: Uint8Array;
}

/**
 * Level 0: `span` pages from page `at` of the segment are this block. Above: child number `at`, and `span` is 1.
 * Ascending and disjoint; pages that no entry covers read as zeros.
 */
export interface NodeEntry extends Reference {
  readonly at: number;
  readonly span: number;
}

export interface Node {
  readonly level: number;
  readonly entries: readonly NodeEntry[];
}

const MAGIC = 0x646e4648;
const VERSION = 1;
const HEADER_LENGTH = 16;
const ENTRY_LENGTH = 48;

/** How many segments one child of a node on `level` covers; a leaf's children are its blocks. */
export function segmentsPerNode(level: number): number {
  return FAN_OUT ** level;
}

/** Segments of a disk of `size` bytes; the last may be shorter. */
export function segmentCount(size: number): number {
  return Math.ceil(size / SEGMENT_LENGTH);
}

/** The level of the root of a disk of `size` bytes. */
export function rootLevel(size: number): number {
  const segments = Math.max(1, segmentCount(size));
  let level = 0;
  while (segmentsPerNode(level) < segments) level++;
  return level;
}

export function encodeNode({ level, entries }: Node): Uint8Array {
  assert(level >= 0 && level <= LEVEL_MAX, `node level ${level}`);
  const bytes = new Uint8Array(HEADER_LENGTH + entries.length * ENTRY_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  bytes[5] = level;
  view.setUint16(6, entries.length, true);
  entries.forEach((entry, index) => {
    const start = HEADER_LENGTH + index * ENTRY_LENGTH;
    assert(entry.digest.length === DIGEST_LENGTH, `digest of ${entry.digest.length}`);
    bytes[start] = entry.at;
    bytes[start + 1] = entry.span - 1;
    view.setUint32(start + 4, entry.pack, true);
    view.setUint32(start + 8, entry.offset, true);
    view.setUint32(start + 12, entry.length, true);
    bytes.set(entry.digest, start + 16);
  });
  return bytes;
}

/** Digests are views into `bytes`, which must not change afterwards. */
export function decodeNode(bytes: Uint8Array): Node {
  if (bytes.length < HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `node of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new FormatError('BAD_MAGIC', 'not a manifest node');
  }
  const level = bytes[5]!;
  if (bytes[4] !== VERSION) throw new FormatError('UNSUPPORTED', `node version ${bytes[4]}`);
  const count = view.getUint16(6, true);
  if (level > LEVEL_MAX || bytes.length !== HEADER_LENGTH + count * ENTRY_LENGTH) {
    throw new FormatError(
      'CORRUPT',
      `node of level ${level}, ${count} entries, ${bytes.length} bytes`,
    );
  }
  checkZero(bytes, { from: 8, to: HEADER_LENGTH }, 'node');
  const entries: NodeEntry[] = [];
  let free = 0;
  for (let start = HEADER_LENGTH; start < bytes.length; start += ENTRY_LENGTH) {
    const at = bytes[start]!;
    const span = bytes[start + 1]! + 1;
    const length = view.getUint32(start + 12, true);
    const fits = at >= free && at + span <= FAN_OUT && span <= (level === 0 ? SPAN_MAX : 1);
    const isSpareZero = bytes[start + 2] === 0 && bytes[start + 3] === 0;
    if (!fits || length > FRAME_LENGTH_MAX || !isSpareZero) {
      throw new FormatError('CORRUPT', `node entry ${at}+${span} after ${free}, frame ${length}`);
    }
    free = at + span;
    entries.push({
      at,
      span,
      pack: view.getUint32(start + 4, true),
      offset: view.getUint32(start + 8, true),
      length,
      digest: bytes.subarray(start + 16, start + 16 + DIGEST_LENGTH),
    });
  }
  return { level, entries };
}
