/*
 * A disk of the host in memory: sparse, with frozen views (copied on the guest's writes) and with bitmaps of what has
 * been written since they were made. Bitmaps count in larger units than a guest writes, as those of hypervisors do.
 */

const PAGE = 4096;
/** A bitmap's unit. */
const TRACKED_LENGTH = 4 * PAGE;
const ZEROS: Uint8Array = new Uint8Array(PAGE);

export interface HostDisk {
  readonly size: number;
  write(bytes: Uint8Array, offset: number): void;
  read(into: Uint8Array, offset: number): void;
  grow(size: number): void;
  /** `keep`: takes the space for a page that the guest writes over; false: there is none, and the view is broken. */
  freeze(keep: (bytes: number) => boolean): FrozenDisk;
  track(): Bitmap;
}

/** The disk as it was. */
export interface FrozenDisk {
  readonly size: number;
  readonly isBroken: boolean;
  read(into: Uint8Array, offset: number): void;
  /** Whether anything was ever written to the page of this place. */
  hasData(offset: number): boolean;
  /** What it has taken, in bytes. */
  readonly kept: number;
  end(): void;
}

/** Counts what is written until it ends. A copy of it stands still. */
export interface Bitmap {
  /** How large the disk was when it was made. */
  readonly size: number;
  ranges(): { readonly offset: number; readonly length: number }[];
  end(): void;
}

export const PAGE_LENGTH = PAGE;

export function hostDisk(initialSize: number): HostDisk {
  let size = initialSize;
  const pages = new Map<number, Uint8Array>();
  const views = new Set<View>();
  const bitmaps = new Set<Set<number>>();

  function beforeChange(page: number): void {
    for (const view of views) view.save(page, pages.get(page));
    for (const bitmap of bitmaps) bitmap.add(Math.floor((page * PAGE) / TRACKED_LENGTH));
  }
  return {
    get size() {
      return size;
    },
    write(bytes, offset) {
      for (const { page, within, at, length } of piecesOf(offset, bytes.length)) {
        beforeChange(page);
        const changed = Uint8Array.from(pages.get(page) ?? ZEROS);
        changed.set(bytes.subarray(at, at + length), within);
        pages.set(page, changed);
      }
    },
    read: (into, offset) => readPages((page) => pages.get(page), into, offset),
    grow: (to) => void (size = Math.max(size, to)),
    freeze(keep) {
      const view = viewOf({ size, current: (page) => pages.get(page), keep });
      views.add(view);
      return frozen(view, () => void views.delete(view));
    },
    track() {
      const bits = new Set<number>();
      bitmaps.add(bits);
      const then = size;
      return {
        size: then,
        ranges: () => rangesOf(bits, size),
        end: () => void bitmaps.delete(bits),
      };
    },
  };
}

interface View {
  readonly size: number;
  save(page: number, contents: Uint8Array | undefined): void;
  contents(page: number): Uint8Array | undefined;
  state(): { readonly kept: number; readonly isBroken: boolean };
}

function viewOf({
  size,
  current,
  keep,
}: {
  readonly size: number;
  readonly current: (page: number) => Uint8Array | undefined;
  readonly keep: (bytes: number) => boolean;
}): View {
  /** Pages as they were, of those that were written since; undefined: it had none. */
  const saved = new Map<number, Uint8Array | undefined>();
  let isBroken = false;
  return {
    size,
    save(page, contents) {
      if (isBroken || saved.has(page)) return;
      if (keep(PAGE)) saved.set(page, contents);
      else isBroken = true;
    },
    contents: (page) => (saved.has(page) ? saved.get(page) : current(page)),
    state: () => ({ kept: saved.size * PAGE, isBroken }),
  };
}

function frozen(view: View, end: () => void): FrozenDisk {
  return {
    size: view.size,
    get isBroken() {
      return view.state().isBroken;
    },
    get kept() {
      return view.state().kept;
    },
    read: (into, offset) => readPages(view.contents, into, offset),
    hasData: (offset) => view.contents(Math.floor(offset / PAGE)) !== undefined,
    end,
  };
}

function readPages(
  contents: (page: number) => Uint8Array | undefined,
  into: Uint8Array,
  offset: number,
): void {
  for (const { page, within, at, length } of piecesOf(offset, into.length)) {
    into.set((contents(page) ?? ZEROS).subarray(within, within + length), at);
  }
}

/** A range, page by page. */
function* piecesOf(offset: number, length: number) {
  for (let at = 0; at < length; ) {
    const within = (offset + at) % PAGE;
    const count = Math.min(PAGE - within, length - at);
    yield { page: Math.floor((offset + at) / PAGE), within, at, length: count };
    at += count;
  }
}

function rangesOf(bits: ReadonlySet<number>, size: number) {
  const ranges: { offset: number; length: number }[] = [];
  for (const unit of [...bits].sort((a, b) => a - b)) {
    const offset = unit * TRACKED_LENGTH;
    const length = Math.min(TRACKED_LENGTH, size - offset);
    const last = ranges.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else ranges.push({ offset, length });
  }
  return ranges;
}
