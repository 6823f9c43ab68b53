import { crc32 } from 'node:zlib';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';
import { FAN_OUT, LEVEL_MAX, type Node } from './node.ts';
import { ENTRY_COUNT_MAX } from './pack.ts';

/*
 * The places to which the nodes of a pack refer. Grammar: reference-list.md.
 *
 *   0 u32 magic "HFrl"  4 u8 version  5 zero  8 u32 pack  12 u32 crc of the pack's entries  16 u32 count  20 records
 *   then u32 crc
 */

/** Blocks are told apart by the unit of a pack in which their frames begin: 2 KiB. */
export const UNIT_SHIFT = 11;
const UNIT_MAX = 0xffff;

/** The pack to which a list belongs. */
export interface ListedPack {
  readonly pack: number;
  /** CRC of the entries in its footer. */
  readonly entriesCrc: number;
}

/** Told about a list, record by record: no objects are made, for there may be 60 million records. */
export interface ReferenceVisitor {
  /** Whether the references of the node whose frame is at `offset` are of interest. */
  wants(offset: number, level: number): boolean;
  /** The wanted node refers to blocks that begin in this unit of `pack`. */
  block(pack: number, unit: number): void;
  /** The wanted node refers to a node whose frame is at `offset` of `pack`. */
  node(pack: number, offset: number): void;
}

const MAGIC = 0x6c724648;
const VERSION = 1;
const HEADER_LENGTH = 20;
const RECORD_LENGTH = 8;
const GROUP_LENGTH = 6;
const CRC_LENGTH = 4;
/** The record of a node whose references are all in packs of their own. */
const RECORD_LENGTH_MAX = RECORD_LENGTH + FAN_OUT * (GROUP_LENGTH + 4);

/** The longest list of a pack with so many nodes. */
export function referenceListLengthMax(count: number): number {
  return HEADER_LENGTH + count * RECORD_LENGTH_MAX + CRC_LENGTH;
}

/** The record of a node whose frame is at `offset`. */
export function encodeReferences({ level, entries }: Node, offset: number): Uint8Array {
  const byPack = new Map<number, Set<number>>();
  for (const entry of entries) {
    const place = level === 0 ? entry.offset >>> UNIT_SHIFT : entry.offset;
    // A forged leaf of an unencrypted set may name a place that no pack has.
    if (level === 0 && place > UNIT_MAX) continue;
    const places = byPack.get(entry.pack);
    if (places) places.add(place);
    else byPack.set(entry.pack, new Set([place]));
  }
  const groups = [...byPack].sort(([a], [b]) => a - b);
  const length = groups.reduce(
    (sum, [, { size }]) => sum + GROUP_LENGTH + size * placeLength(level),
    RECORD_LENGTH,
  );
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, offset, true);
  bytes[4] = level;
  view.setUint16(6, groups.length, true);
  let at = RECORD_LENGTH;
  for (const [pack, places] of groups) {
    view.setUint32(at, pack, true);
    view.setUint16(at + 4, places.size, true);
    at += GROUP_LENGTH;
    for (const place of [...places].sort((a, b) => a - b)) {
      if (level === 0) view.setUint16(at, place, true);
      else view.setUint32(at, place, true);
      at += placeLength(level);
    }
  }
  return bytes;
}

/** `records`: one for each node, ascending by offset. */
export function encodeReferenceList(
  { pack, entriesCrc }: ListedPack,
  records: readonly Uint8Array[],
): Uint8Array {
  const end = records.reduce((sum, { length }) => sum + length, HEADER_LENGTH);
  const bytes = new Uint8Array(end + CRC_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  view.setUint32(8, pack, true);
  view.setUint32(12, entriesCrc, true);
  view.setUint32(16, records.length, true);
  let at = HEADER_LENGTH;
  for (const record of records) {
    bytes.set(record, at);
    at += record.length;
  }
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** Goes through the list of `listed`. Throws FormatError, also for the list of another pack. */
export function visitReferences(
  bytes: Uint8Array,
  listed: ListedPack,
  visitor: ReferenceVisitor,
): void {
  const end = checkedEnd(bytes, listed);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = view.getUint32(16, true);
  const fail = (what: string): never => {
    throw new FormatError('CORRUPT', `reference list of pack ${listed.pack}: ${what}`);
  };
  let before = -1;
  let at = HEADER_LENGTH;
  for (let index = 0; index < count; index++) {
    if (at + RECORD_LENGTH > end) fail('it ends within a record');
    const offset = view.getUint32(at, true);
    const level = bytes[at + 4]!;
    const groups = view.getUint16(at + 6, true);
    if (offset <= before || level > LEVEL_MAX || groups > FAN_OUT || bytes[at + 5] !== 0) {
      fail(`record ${index} is of a node of level ${level} at ${offset} with ${groups} groups`);
    }
    before = offset;
    at += RECORD_LENGTH;
    const isWanted = visitor.wants(offset, level);
    const step = placeLength(level);
    for (let group = 0; group < groups; group++) {
      if (at + GROUP_LENGTH > end) fail('it ends within a record');
      const pack = view.getUint32(at, true);
      const places = view.getUint16(at + 4, true);
      at += GROUP_LENGTH;
      const next = at + places * step;
      if (places === 0 || places > FAN_OUT || next > end) fail(`a group of ${places} places`);
      if (isWanted) {
        for (; at < next; at += step) {
          if (level === 0) visitor.block(pack, view.getUint16(at, true));
          else visitor.node(pack, view.getUint32(at, true));
        }
      }
      at = next;
    }
  }
  if (at !== end) fail(`${end - at} bytes follow its records`);
}

/** The records of a list by the offsets of their nodes. Throws FormatError, also for the list of another pack. */
export function referenceRecords(
  bytes: Uint8Array,
  listed: ListedPack,
): ReadonlyMap<number, Uint8Array> {
  const records = new Map<number, Uint8Array>();
  visitReferences(bytes, listed, { wants: () => false, block() {}, node() {} });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = HEADER_LENGTH; at < bytes.length - CRC_LENGTH; ) {
    const start = at;
    const step = placeLength(bytes[at + 4]!);
    const groups = view.getUint16(at + 6, true);
    at += RECORD_LENGTH;
    for (let group = 0; group < groups; group++) {
      at += GROUP_LENGTH + view.getUint16(at + 4, true) * step;
    }
    records.set(view.getUint32(start, true), bytes.subarray(start, at));
  }
  return records;
}

/** The same record for a node whose frame is at `offset`. */
export function referencesAt(record: Uint8Array, offset: number): Uint8Array {
  const bytes = record.slice();
  new DataView(bytes.buffer).setUint32(0, offset, true);
  return bytes;
}

/** Where the records end. */
function checkedEnd(bytes: Uint8Array, listed: ListedPack): number {
  const end = bytes.length - CRC_LENGTH;
  if (end < HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `reference list of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) throw new FormatError('BAD_MAGIC', 'not a reference list');
  if (bytes[4] !== VERSION) {
    throw new FormatError('UNSUPPORTED', `reference list of version ${bytes[4]}`);
  }
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end))) {
    throw new FormatError('CORRUPT', 'reference list fails its checksum');
  }
  checkZero(bytes, { from: 5, to: 8 }, 'reference list');
  const pack = view.getUint32(8, true);
  const count = view.getUint32(16, true);
  const isOfPack = pack === listed.pack && view.getUint32(12, true) === listed.entriesCrc;
  if (!isOfPack || count > ENTRY_COUNT_MAX) {
    const what = `it is the list of ${count} nodes of another pack, with number ${pack}`;
    throw new FormatError('CORRUPT', `reference list of pack ${listed.pack}: ${what}`);
  }
  return end;
}

function placeLength(level: number): number {
  return level === 0 ? 2 : 4;
}
