import type { PageRun, PageState } from '../../formats/store/sessions/overlay-map.ts';

/** Pages of one chunk: 64 MiB of disk, 16 KiB of memory, and only where its pages differ in state. */
const CHUNK_PAGES = 16_384;
const ABSENT = 0;
const DATA = 1;
const ZERO = 2;
/** Shared by all chunks whose pages are alike: a guest may discard many TiB in one request. Never written to. */
const ALL_DATA = new Uint8Array(CHUNK_PAGES).fill(DATA);
const ALL_ZERO = new Uint8Array(CHUNK_PAGES).fill(ZERO);

/** The state of each page of a disk: not written (absent), data, or zeros. */
export interface PageMap {
  /** Whether no page of the range has been written. */
  allAbsent(first: number, count: number): boolean;
  state(page: number): PageState | 'absent';
  set(first: number, count: number, state: PageState): void;
  /** The number of pages of the range that are not `data` yet. */
  countWithoutData(first: number, count: number): number;
  /** Ascending runs that cover the range, including absent ones. */
  runs(first: number, count: number): Generator<MapRun>;
  /** Ascending written runs of the whole disk. */
  written(): Generator<PageRun>;
  dataPages(): number;
}

export interface MapRun {
  readonly first: number;
  readonly count: number;
  readonly state: PageState | 'absent';
}

const NAMES = ['absent', 'data', 'zero'] as const;

export function pageMap(): PageMap {
  const chunks = new Map<number, Uint8Array>();
  let dataPages = 0;

  function code(page: number): number {
    const chunk = chunks.get(Math.floor(page / CHUNK_PAGES));
    return chunk === undefined ? ABSENT : chunk[page % CHUNK_PAGES]!;
  }
  /** A chunk that may be written to. */
  function own(index: number, chunk: Uint8Array | undefined): Uint8Array {
    if (chunk && chunk !== ALL_DATA && chunk !== ALL_ZERO) return chunk;
    const made = chunk ? chunk.slice() : new Uint8Array(CHUNK_PAGES);
    chunks.set(index, made);
    return made;
  }
  function* pieces(first: number, count: number) {
    for (let page = first; page < first + count; ) {
      const index = Math.floor(page / CHUNK_PAGES);
      const from = page - index * CHUNK_PAGES;
      const length = Math.min(CHUNK_PAGES - from, first + count - page);
      yield { index, from, to: from + length, page };
      page += length;
    }
  }
  function* runs(first: number, count: number): Generator<MapRun> {
    let start = first;
    let current = code(first);
    for (const { index, from, to, page } of pieces(first, count)) {
      const chunk = chunks.get(index);
      for (let at = from; at < to; at++) {
        const next = chunk === undefined ? ABSENT : chunk[at]!;
        if (next !== current) {
          const here = page + at - from;
          yield { first: start, count: here - start, state: NAMES[current]! };
          start = here;
          current = next;
        }
        if (chunk === undefined || chunk === ALL_DATA || chunk === ALL_ZERO) break;
      }
    }
    yield { first: start, count: first + count - start, state: NAMES[current]! };
  }
  return {
    allAbsent(first, count) {
      const index = Math.floor(first / CHUNK_PAGES);
      const from = first - index * CHUNK_PAGES;
      if (from + count > CHUNK_PAGES) return slowAllAbsent(first, count);
      const chunk = chunks.get(index);
      if (chunk === undefined) return true;
      for (let at = from; at < from + count; at++) if (chunk[at] !== ABSENT) return false;
      return true;
    },
    state: (page) => NAMES[code(page)]!,
    set(first, count, state) {
      const [value, alike] = state === 'data' ? [DATA, ALL_DATA] : [ZERO, ALL_ZERO];
      for (const { index, from, to } of pieces(first, count)) {
        const chunk = chunks.get(index);
        dataPages -= countData(chunk, from, to);
        if (to - from === CHUNK_PAGES) chunks.set(index, alike);
        else if (chunk !== alike) own(index, chunk).fill(value, from, to);
      }
      if (state === 'data') dataPages += count;
    },
    countWithoutData(first, count) {
      let absent = count;
      for (const { index, from, to } of pieces(first, count)) {
        absent -= countData(chunks.get(index), from, to);
      }
      return absent;
    },
    runs,
    *written() {
      let open: PageRun | undefined;
      for (const index of [...chunks.keys()].sort((a, b) => a - b)) {
        const all = alikeRun(index, chunks.get(index));
        for (const { first, count, state } of all
          ? [all]
          : runs(index * CHUNK_PAGES, CHUNK_PAGES)) {
          if (state === 'absent') continue;
          if (open?.state === state && open.first + open.count === first) {
            open = { ...open, count: open.count + count };
          } else {
            if (open) yield open;
            open = { first, count, state };
          }
        }
      }
      if (open) yield open;
    },
    dataPages: () => dataPages,
  };

  function slowAllAbsent(first: number, count: number): boolean {
    for (const { index, from, to } of pieces(first, count)) {
      const chunk = chunks.get(index);
      if (chunk === undefined) continue;
      for (let at = from; at < to; at++) if (chunk[at] !== ABSENT) return false;
    }
    return true;
  }
}

/** A disk of many TiB consists mostly of chunks with pages of one state: their pages need not be visited. */
function alikeRun(index: number, chunk: Uint8Array | undefined): MapRun | undefined {
  if (chunk !== ALL_DATA && chunk !== ALL_ZERO) return undefined;
  return { first: index * CHUNK_PAGES, count: CHUNK_PAGES, state: NAMES[chunk[0]!]! };
}

function countData(chunk: Uint8Array | undefined, from: number, to: number): number {
  if (chunk === undefined || chunk === ALL_ZERO) return 0;
  if (chunk === ALL_DATA) return to - from;
  let count = 0;
  for (let at = from; at < to; at++) if (chunk[at] === DATA) count++;
  return count;
}
