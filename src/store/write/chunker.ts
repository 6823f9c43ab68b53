import { PAGE_LENGTH } from '../../formats/store/packs/node.ts';
import type { Cutting } from '../../formats/store/catalog/set-record.ts';

/** The best compromise among the numbers in chunking.md. */
export const CUTTING_DEFAULT: Cutting = {
  kind: 'content',
  pagesMin: 2,
  pagesAverage: 8,
  pagesMax: 16,
};

export interface Cut {
  /** First page in the segment. */
  readonly at: number;
  readonly span: number;
}

const PAGE_WORDS = PAGE_LENGTH / 4;
/** Every fourth word: enough to tell pages apart, at a quarter of the cost. */
const HASH_STRIDE = 4;
const ZERO_PAGE = new Uint8Array(PAGE_LENGTH);

/**
 * Cuts a segment of whole pages into blocks, in order. Pages of zeros belong to none: they are the
 * gaps. The same bytes at the same place in a segment are cut alike on every machine.
 */
export function cutter(cutting: Cutting): (segment: Uint8Array) => Cut[] {
  return cutting.kind === 'fixed' ? fixed(cutting.pages) : byContent(cutting);
}

function fixed(pages: number): (segment: Uint8Array) => Cut[] {
  return (segment) => {
    const cuts: Cut[] = [];
    const count = segment.length / PAGE_LENGTH;
    for (let start = 0; start < count; start += pages) {
      let first = start;
      let end = Math.min(start + pages, count);
      while (first < end && isZero(segment, first)) first++;
      while (end > first && isZero(segment, end - 1)) end--;
      if (end > first) cuts.push({ at: first, span: end - first });
    }
    return cuts;
  };
}

function byContent(options: Extract<Cutting, { kind: 'content' }>): (segment: Uint8Array) => Cut[] {
  const { pagesMin, pagesAverage, pagesMax } = options;
  // Beyond the shortest block each page ends it with this chance.
  const threshold = Math.floor(2 ** 32 / (pagesAverage - pagesMin));
  return (segment) => {
    const cuts: Cut[] = [];
    const words = new Int32Array(segment.buffer, segment.byteOffset, segment.length / 4);
    const count = segment.length / PAGE_LENGTH;
    let start = -1;
    const end = (page: number): void => {
      if (start >= 0) cuts.push({ at: start, span: page - start });
      start = -1;
    };
    for (let page = 0; page < count; page++) {
      if (isZero(segment, page)) {
        end(page);
        continue;
      }
      if (start < 0) start = page;
      const span = page + 1 - start;
      if (span >= pagesMax || (span >= pagesMin && pageHash(words, page) < threshold))
        end(page + 1);
    }
    end(count);
    return cuts;
  };
}

/** Fixed forever: a change would cut the same disks differently. */
function pageHash(words: Int32Array, page: number): number {
  let a = 0x2545f491;
  let b = 0x1b873593;
  const end = (page + 1) * PAGE_WORDS;
  for (let at = page * PAGE_WORDS; at < end; at += 2 * HASH_STRIDE) {
    a = Math.imul(a ^ words[at]!, 0x01000193);
    b = Math.imul(b ^ words[at + HASH_STRIDE]!, 0x85ebca6b);
    b ^= b >>> 13;
  }
  a = Math.imul(a ^ (b >>> 15), 0xc2b2ae35);
  return (a ^ (a >>> 16)) >>> 0;
}

function isZero(segment: Uint8Array, page: number): boolean {
  const start = page * PAGE_LENGTH;
  // Most pages that are not zeros show it in their first bytes.
  if (segment[start] !== 0 || segment[start + 8] !== 0) return false;
  return Buffer.compare(segment.subarray(start, start + PAGE_LENGTH), ZERO_PAGE) === 0;
}
