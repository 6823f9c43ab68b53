import { QCOW2_HEAD_LENGTH } from './qcow2.ts';
import { assert } from '../../lib/assert.ts';
import { viewOf } from '../../lib/bytes.ts';

/*
 * A qcow2 image that is written once, wherever its bytes are kept: clusters follow each other in the order in which
 * they are first written, so the file is as long as its data. What leads to them (image.md, "Written once") is known
 * at the end, and comes after them; the header is the last to be written, and until then there is no such image. It
 * may claim a size for some time that the disk does not have.
 */
export interface NewQcow2 {
  /** Where the file has the bytes of a range of the disk, cluster by cluster; makes room for those it lacks. */
  place(offset: number, length: number): readonly FoundRange[];
  /** The same, and makes no room: `at` is undefined where nothing was written. */
  find(offset: number, length: number): readonly FoundRange[];
  /** Once all is placed. */
  tables(): Qcow2Tables;
  readonly claimMax: number;
}

/** All that has to be in the file besides the disk's bytes. */
export interface Qcow2Tables {
  readonly parts: readonly FilePart[];
  /** Written after them; `claimed`: as the disk's size, from that up to `claimMax`. */
  header(claimed: number, backing?: string): FilePart;
}

export interface FoundRange {
  /** The place on the disk. */
  readonly offset: number;
  readonly length: number;
  /** In the file. */
  readonly at: number | undefined;
}

export interface FilePart {
  readonly at: number;
  readonly bytes: Uint8Array;
}

const HEADER_LENGTH = 104;
const MIN_BITS = 16;
const MAX_BITS = Math.log2(QCOW2_HEAD_LENGTH);
/** As many clusters are remembered with 4 bytes each: 64 MiB for a disk that is full. */
const CLUSTERS_MAX = 2 ** 24;
const ENTRY_LENGTH = 8;
const REFCOUNT_LENGTH = 2;
/** log2 of the bits of a reference count. */
const REFCOUNT_ORDER = 4;
/** The L1 table has room for more than the disk: as much as files with all their tables may take. */
const CLAIM_SPARE = 16 * 2 ** 30;
/** What was in the file that libvirt has made. */
const FIRST_LENGTH_MAX = 4;
/** No other table or snapshot has the cluster: it is written in place. */
const COPIED = 1n << 63n;

/** `size`: of the disk. `from`: the file's first bytes that were never written; what is before them is not used. */
export function newQcow2(size: number, from: number): NewQcow2 {
  const bits = clusterBits(size);
  const cluster = 2 ** bits;
  const perTable = cluster / ENTRY_LENGTH;
  const first = Math.max(1, Math.ceil(from / cluster));
  /** By table: the cluster in the file of each of the disk's; 0: none. */
  const maps = new Map<number, Uint32Array>();
  let next = first;

  const entryOf = (number: number): number =>
    maps.get(Math.floor(number / perTable))?.[number % perTable] ?? 0;
  function allocate(number: number): number {
    const table = Math.floor(number / perTable);
    let map = maps.get(table);
    if (!map) maps.set(table, (map = new Uint32Array(perTable)));
    const known = map[number % perTable]!;
    if (known !== 0) return known;
    map[number % perTable] = next;
    return next++;
  }
  const claimMax = 2 * size + CLAIM_SPARE;
  return {
    claimMax,
    place: (offset, length) => ranges({ offset, length, cluster }, allocate),
    find: (offset, length) => ranges({ offset, length, cluster }, entryOf),
    tables: () => tablesOf({ claimMax, bits, first, end: next, maps }),
  };
}

/** A whole file: a disk that nothing was written to yet, over the raw disk that `backing` names. */
export function emptyQcow2(size: number, backing: string): readonly FilePart[] {
  const { parts, header } = newQcow2(size, 0).tables();
  return [...parts, header(size, backing)];
}

/** What such a file has, at most, besides the data of its disk. */
export function qcow2TablesLength(size: number, data: number): number {
  const cluster = 2 ** clusterBits(size);
  const perTable = cluster / ENTRY_LENGTH;
  const clusters = Math.ceil(data / cluster);
  const tables = Math.min(clusters, Math.ceil(size / cluster / perTable));
  const l1 = Math.ceil((2 * size + CLAIM_SPARE) / cluster / perTable / perTable);
  const total = FIRST_LENGTH_MAX + clusters + tables + l1;
  const counts = Math.ceil(total / (cluster / REFCOUNT_LENGTH)) + 2;
  return (FIRST_LENGTH_MAX + tables + l1 + counts) * cluster;
}

function clusterBits(size: number): number {
  let bits = MIN_BITS;
  while (bits < MAX_BITS && size / 2 ** bits > CLUSTERS_MAX) bits++;
  return bits;
}

/** Neighbors on the disk that are neighbors in the file are one range. */
function ranges(
  { offset, length, cluster }: { offset: number; length: number; cluster: number },
  clusterOf: (number: number) => number,
): FoundRange[] {
  const found: FoundRange[] = [];
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const number = Math.floor(at / cluster);
    const within = at - number * cluster;
    const part = Math.min(cluster - within, end - at);
    const host = clusterOf(number);
    const place = host === 0 ? undefined : host * cluster + within;
    const last = found.at(-1);
    const isNext =
      last !== undefined &&
      (last.at === undefined ? place === undefined : last.at + last.length === place);
    if (isNext) found[found.length - 1] = { ...last, length: last.length + part };
    else found.push({ offset: at, length: part, at: place });
    at += part;
  }
  return found;
}

interface Written {
  readonly claimMax: number;
  readonly bits: number;
  /** Clusters of data in the file, from `first` to before `end`. */
  readonly first: number;
  readonly end: number;
  readonly maps: ReadonlyMap<number, Uint32Array>;
}

function tablesOf({ claimMax, bits, first, end, maps }: Written): Qcow2Tables {
  const cluster = 2 ** bits;
  const entries = Math.ceil(claimMax / cluster / (cluster / ENTRY_LENGTH));
  const parts: FilePart[] = [];
  const l1 = new Uint8Array(entries * ENTRY_LENGTH);
  let next = end;
  for (const [table, map] of [...maps].sort(([a], [b]) => a - b)) {
    setEntry(l1, table, next * cluster, COPIED);
    parts.push({ at: next * cluster, bytes: l2Of(map, cluster) });
    next++;
  }
  const l1At = next * cluster;
  parts.push({ at: l1At, bytes: l1 });
  next += Math.ceil(l1.length / cluster);
  const counts = refcountsOf({ cluster, first, next });
  const header = (size: number, backing?: string): FilePart => ({
    at: 0,
    bytes: headerOf({ size, bits, l1At, entries, backing, ...counts }),
  });
  return { parts: [...parts, ...counts.parts], header };
}

function setEntry(table: Uint8Array, number: number, at: number, flags = 0n): void {
  viewOf(table).setBigUint64(number * ENTRY_LENGTH, BigInt(at) | flags);
}

function l2Of(map: Uint32Array, cluster: number): Uint8Array {
  const bytes = new Uint8Array(cluster);
  for (const [number, host] of map.entries()) {
    if (host !== 0) setEntry(bytes, number, host * cluster, COPIED);
  }
  return bytes;
}

interface Counting {
  readonly cluster: number;
  readonly first: number;
  /** The first cluster that no one uses yet. */
  readonly next: number;
}

/** Counts of all clusters in use, their own among them. */
function refcountsOf({ cluster, first, next }: Counting) {
  const perBlock = cluster / REFCOUNT_LENGTH;
  let [blocks, tables] = [0, 0];
  for (;;) {
    const total = next + blocks + tables;
    const needed = Math.ceil(total / perBlock);
    const neededTables = Math.ceil((needed * ENTRY_LENGTH) / cluster);
    if (needed === blocks && neededTables === tables) break;
    [blocks, tables] = [needed, neededTables];
  }
  const total = next + blocks + tables;
  const tableAt = (next + blocks) * cluster;
  const table = new Uint8Array(tables * cluster);
  const parts: FilePart[] = [];
  for (let block = 0; block < blocks; block++) {
    const bytes = new Uint8Array(cluster);
    const view = viewOf(bytes);
    const begin = block * perBlock;
    for (let it = begin; it < Math.min(begin + perBlock, total); it++) {
      // What was in the file before, behind the header, is free.
      if (it === 0 || it >= first) view.setUint16((it - begin) * REFCOUNT_LENGTH, 1);
    }
    setEntry(table, block, (next + block) * cluster);
    parts.push({ at: (next + block) * cluster, bytes });
  }
  parts.push({ at: tableAt, bytes: table });
  return { parts, tableAt, tables };
}

interface Heading {
  readonly size: number;
  readonly bits: number;
  readonly l1At: number;
  readonly entries: number;
  readonly tableAt: number;
  readonly tables: number;
  readonly backing: string | undefined;
}

const BACKING_FORMAT = 0xe2792aca;
const RAW = 'raw';
/** Behind the header's two extensions. */
const BACKING_AT = HEADER_LENGTH + 24;
/** QEMU takes no longer name (block/qcow2.c). */
const BACKING_LENGTH_MAX = 1023;

function headerOf({ size, bits, l1At, entries, tableAt, tables, backing }: Heading): Uint8Array {
  // With what followed an older header: it must not be taken for an extension of this one.
  const bytes = new Uint8Array(2 ** bits);
  const view = viewOf(bytes);
  bytes.set(Buffer.from('QFI\xfb', 'latin1'));
  view.setUint32(4, 3);
  view.setUint32(20, bits);
  view.setBigUint64(24, BigInt(size));
  view.setUint32(36, entries);
  view.setBigUint64(40, BigInt(l1At));
  view.setBigUint64(48, BigInt(tableAt));
  view.setUint32(56, tables);
  view.setUint32(96, REFCOUNT_ORDER);
  view.setUint32(100, HEADER_LENGTH);
  if (backing === undefined) return bytes;
  // An extension that says that it is raw, the empty one that ends them, and its name.
  view.setUint32(HEADER_LENGTH, BACKING_FORMAT);
  view.setUint32(HEADER_LENGTH + 4, RAW.length);
  bytes.set(Buffer.from(RAW, 'latin1'), HEADER_LENGTH + 8);
  const name = Buffer.from(backing, 'utf8');
  assert(
    name.length <= BACKING_LENGTH_MAX,
    `a qcow2 image names no backing of ${name.length} bytes`,
  );
  bytes.set(name, BACKING_AT);
  view.setBigUint64(8, BigInt(BACKING_AT));
  view.setUint32(16, name.length);
  return bytes;
}
