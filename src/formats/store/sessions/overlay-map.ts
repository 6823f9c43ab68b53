import { crc32 } from 'node:zlib';
import { FormatError } from '../../format-error.ts';
import { checkZero } from '../../spare-bytes.ts';

/*
 * Which pages of a session's disk were written: a header, then a log of runs. Grammar: overlay-map.md.
 *
 *   header: 0 u32 magic "HFov"  4 u8 version  5 3 zero  8 u32 page length  12 u64 disk size  20 u32 crc
 *   record: 0 u32 crc of the rest  4 u32 count  8 runs
 *   run:    0 u32 first page, low  4 u16 first page, high  6 u8 state  7 u8 zero  8 u32 pages
 */
export type PageState = 'data' | 'zero';

export interface PageRun {
  readonly first: number;
  readonly count: number;
  readonly state: PageState;
}

export interface OverlayHeader {
  readonly pageLength: number;
  readonly size: number;
}

export const OVERLAY_HEADER_LENGTH = 24;
/** Keeps a record, and so the memory to replay it, close to 1 MiB. */
export const RECORD_RUNS_MAX = 65_536;

const MAGIC = 0x766f4648;
const VERSION = 1;
const RECORD_HEADER_LENGTH = 8;
const RUN_LENGTH = 12;
const STATES = { data: 1, zero: 2 } as const satisfies Record<PageState, number>;

/** How records follow each other. */
export const overlayRecords = {
  headLength: RECORD_HEADER_LENGTH,
  lengthMax: RECORD_HEADER_LENGTH + RECORD_RUNS_MAX * RUN_LENGTH,
  lengthAt(view: DataView, at: number): number | undefined {
    const count = view.getUint32(at + 4, true);
    if (count === 0 || count > RECORD_RUNS_MAX) return undefined;
    return RECORD_HEADER_LENGTH + count * RUN_LENGTH;
  },
  isSound(record: Uint8Array): boolean {
    const view = new DataView(record.buffer, record.byteOffset, RECORD_HEADER_LENGTH);
    return crc32(record.subarray(4)) === view.getUint32(0, true);
  },
};

export function encodeOverlayHeader({ pageLength, size }: OverlayHeader): Uint8Array {
  const bytes = new Uint8Array(OVERLAY_HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes[4] = VERSION;
  view.setUint32(8, pageLength, true);
  view.setUint32(12, size % 2 ** 32, true);
  view.setUint32(16, Math.floor(size / 2 ** 32), true);
  view.setUint32(20, crc32(bytes.subarray(0, 20)), true);
  return bytes;
}

export function decodeOverlayHeader(bytes: Uint8Array): OverlayHeader {
  if (bytes.length < OVERLAY_HEADER_LENGTH) {
    throw new FormatError('TRUNCATED', `overlay map of ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, OVERLAY_HEADER_LENGTH);
  if (view.getUint32(0, true) !== MAGIC) throw new FormatError('BAD_MAGIC', 'not an overlay map');
  if (bytes[4] !== VERSION) throw new FormatError('UNSUPPORTED', `overlay map version ${bytes[4]}`);
  const size = view.getUint32(12, true) + view.getUint32(16, true) * 2 ** 32;
  const intact = crc32(bytes.subarray(0, 20)) === view.getUint32(20, true);
  if (!intact || !Number.isSafeInteger(size)) {
    throw new FormatError('CORRUPT', 'overlay map header fails its checksum');
  }
  checkZero(bytes, { from: 5, to: 8 }, 'overlay map header');
  return { pageLength: view.getUint32(8, true), size };
}

/** At most RECORD_RUNS_MAX runs. */
export function encodeOverlayRecord(runs: readonly PageRun[]): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_LENGTH + runs.length * RUN_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, runs.length, true);
  runs.forEach((run, index) => putRun(view, RECORD_HEADER_LENGTH + index * RUN_LENGTH, run));
  view.setUint32(0, crc32(bytes.subarray(4)), true);
  return bytes;
}

/** Makes records of one run, all in the same bytes: use each before the next is made. */
export function singleRunEncoder(): (run: PageRun) => Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_LENGTH + RUN_LENGTH);
  const view = new DataView(bytes.buffer);
  const summed = bytes.subarray(4);
  view.setUint32(4, 1, true);
  return (run) => {
    putRun(view, RECORD_HEADER_LENGTH, run);
    view.setUint32(0, crc32(summed), true);
    return bytes;
  };
}

function putRun(view: DataView, at: number, { first, count, state }: PageRun): void {
  view.setUint32(at, first % 2 ** 32, true);
  view.setUint16(at + 4, Math.floor(first / 2 ** 32), true);
  view.setUint8(at + 6, STATES[state]);
  view.setUint32(at + 8, count, true);
}

/**
 * The record that begins at `bytes`, and its length; undefined if no whole one does: then the log ends there, because
 * a record that was cut off was never acknowledged.
 */
export function decodeOverlayRecord(
  bytes: Uint8Array,
  pages: number,
): { readonly runs: readonly PageRun[]; readonly length: number } | undefined {
  if (bytes.length < RECORD_HEADER_LENGTH) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = overlayRecords.lengthAt(view, 0);
  if (length === undefined || length > bytes.length) return undefined;
  if (!overlayRecords.isSound(bytes.subarray(0, length))) return undefined;
  const runs: PageRun[] = [];
  for (let at = RECORD_HEADER_LENGTH; at < length; at += RUN_LENGTH) {
    const first = view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32;
    const run = view.getUint32(at + 8, true);
    if (first + run > pages) {
      throw new FormatError('CORRUPT', `overlay run ${first}+${run} of ${pages} pages`);
    }
    const state = bytes[at + 6] === STATES.zero ? 'zero' : 'data';
    if (bytes[at + 6] !== STATES[state] || bytes[at + 7] !== 0) {
      throw new FormatError('CORRUPT', `overlay run of state ${bytes[at + 6]}, ${bytes[at + 7]}`);
    }
    runs.push({ first, count: run, state });
  }
  return { runs, length };
}
