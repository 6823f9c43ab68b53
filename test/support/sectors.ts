import { below } from './random.ts';

const SECTOR = 512;
const PAGE = 4096;
/** What a power cut leaves of what was not synced. */
const KINDS = ['none', 'sectors', 'writes', 'all'] as const;

/** One file of a disk that loses single sectors: what the kernel has of it in memory, and what the medium has. */
export interface Sectors {
  readonly length: number;
  /** What readers see. Lent until the next change. */
  live(): Uint8Array;
  write(from: Uint8Array, offset: number): void;
  /** Fills up with zeros to that length; a power cut may take the length back. */
  extend(length: number): void;
  truncate(length: number): void;
  /** What was written up to here is on the medium once `complete` was called. */
  beginSync(): { complete(): void };
  /** The kernel says that it could not write, and believes from now on that all of it is on the medium. */
  failSync(random: () => number, written: 'none' | 'some' | 'all'): void;
  /** The kernel forgets the whole pages of that range that it believes to be on the medium. */
  drop(offset: number, length: number): void;
  /** What a power cut leaves: of each sector the last one that was synced, or any that came later. */
  survivor(random: () => number): Uint8Array;
}

/** Whole sectors, as they were in memory right after a write; or only a new length. Truncation cuts them. */
interface Change {
  readonly offset: number;
  bytes: Uint8Array;
  length: number;
}

export function sectors(initial: Uint8Array = new Uint8Array()): Sectors {
  const live = growable(initial);
  const durable = growable(initial);
  let pending: Change[] = [];

  function note(offset: number, end: number): void {
    const start = offset - (offset % SECTOR);
    const stop = Math.min(live.length, Math.ceil(end / SECTOR) * SECTOR);
    pending.push({ offset: start, bytes: live.slice(start, stop), length: live.length });
  }
  /** `isWritten` is asked for each sector, in the order of the writes. */
  function write(changes: readonly Change[], isWritten: () => boolean, into: Growable): void {
    for (const { offset, bytes, length } of changes) {
      if (bytes.length === 0 && isWritten()) into.grow(length);
      for (let at = 0; at < bytes.length; at += SECTOR) {
        if (isWritten()) into.set(bytes.subarray(at, at + SECTOR), offset + at);
      }
    }
  }
  return {
    get length() {
      return live.length;
    },
    live: () => live.bytes(),
    write(from, offset) {
      if (from.length === 0) return;
      live.set(from, offset);
      note(offset, offset + from.length);
    },
    extend(length) {
      if (length <= live.length) return;
      live.grow(length);
      pending.push({ offset: length, bytes: new Uint8Array(), length });
    },
    truncate(length) {
      // Lengths reach the disk with the metadata, at any time.
      for (const it of [live, durable]) it.cut(length);
      // The objects stay: a sync may be under way with them.
      for (const it of pending) {
        it.bytes = it.bytes.subarray(0, Math.max(0, length - it.offset));
        it.length = Math.min(it.length, length);
      }
    },
    beginSync() {
      const begun = pending.slice();
      return {
        complete() {
          // Another sync may have been quicker, and a newer one may have written over it.
          const left = new Set(pending);
          write(
            begun.filter((it) => left.has(it)),
            () => true,
            durable,
          );
          const done = new Set(begun);
          pending = pending.filter((it) => !done.has(it));
          if (pending.length === 0 && begun.length > 0) durable.grow(live.length);
        },
      };
    },
    failSync(random, written) {
      const isWritten = () => written === 'all' || (written === 'some' && random() >= 0.5);
      write(pending, isWritten, durable);
      durable.grow(live.length);
      pending = [];
    },
    drop(offset, length) {
      const end = length === 0 ? live.length : Math.min(offset + length, live.length);
      const stop = end === live.length ? end : end - (end % PAGE);
      const dirty = new Set<number>();
      for (const it of pending) {
        const first = it.offset - (it.offset % PAGE);
        for (let at = first; at < it.offset + it.bytes.length; at += PAGE) dirty.add(at);
      }
      for (let at = Math.ceil(offset / PAGE) * PAGE; at < stop; at += PAGE) {
        if (dirty.has(at)) continue;
        const page = new Uint8Array(Math.min(PAGE, live.length - at));
        page.set(durable.slice(at, at + page.length));
        live.set(page, at);
      }
    },
    survivor(random) {
      const bytes = growable(durable.bytes());
      // All, nothing and whole writes are as likely as single sectors: a coin for each would hardly ever show them.
      const kind = KINDS[below(random, KINDS.length)]!;
      for (const change of pending) {
        const part = kind === 'writes' ? (random() < 0.5 ? 'none' : 'all') : kind;
        write([change], () => part === 'all' || (part === 'sectors' && random() >= 0.5), bytes);
      }
      return bytes.bytes().slice();
    },
  };
}

interface Growable {
  readonly length: number;
  bytes(): Uint8Array;
  slice(start: number, end: number): Uint8Array;
  set(from: Uint8Array, offset: number): void;
  grow(length: number): void;
  cut(length: number): void;
}

/** Bytes that grow without a copy of all of them each time. */
function growable(initial: Uint8Array): Growable {
  let buffer = Uint8Array.from(initial);
  let length = initial.length;
  function grow(to: number): void {
    if (to > buffer.length) {
      const larger = new Uint8Array(Math.max(to, 2 * buffer.length));
      larger.set(buffer.subarray(0, length));
      buffer = larger;
    }
    length = Math.max(length, to);
  }
  return {
    get length() {
      return length;
    },
    bytes: () => buffer.subarray(0, length),
    slice: (start, end) => buffer.slice(start, Math.min(end, length)),
    set(from, offset) {
      grow(offset + from.length);
      buffer.set(from, offset);
    },
    grow,
    cut(to) {
      if (to > length) grow(to);
      buffer.fill(0, to, length);
      length = to;
    },
  };
}
