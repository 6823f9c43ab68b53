import { dirname } from 'node:path/posix';
import type { File, FileStatus, FileSystem } from '../../src/sys/file-system.ts';
import { SystemError } from '../../src/sys/system-error.ts';
import { below } from './random.ts';

const SECTOR = 512;

/** Thrown by the call at which the power went, and by every one after it. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut';
}

/** What the house says when its world fails; anything else would be our own fault. */
const WORLDLY = [
  'PowerCut',
  'SystemError',
  'StoreError',
  'BlockError',
  'CatalogError',
  'SessionError',
  'TreeError',
];

/** Throws what is no consequence of a power cut. */
export function onlyPowerCuts(error: unknown): void {
  if (error instanceof SuppressedError) {
    onlyPowerCuts(error.suppressed);
    onlyPowerCuts(error.error);
  } else if (!(error instanceof Error) || !WORLDLY.includes(error.name)) {
    throw error;
  }
}

interface Inode {
  live: Uint8Array;
  durable: Uint8Array;
  pending: { readonly from: Uint8Array; readonly offset: number }[];
}
type Entry = Inode | 'directory';
type Names = Map<string, Entry>;

export interface CrashingFs {
  readonly files: FileSystem;
  /** Calls so far. */
  calls(): number;
  /** The disk as the next boot finds it, by default without another power cut. */
  reboot(cutAt?: number): CrashingFs;
  /** As it is now, all of it durable. */
  copy(random: () => number, cutAt?: number): CrashingFs;
}

/**
 * A disk in memory that loses power at its `cutAt`-th call. What was not synced by then survives or not,
 * sector by sector and directory entry by directory entry, as `random` decides.
 *
 * Modelled: lost, reordered and torn writes; names that outlive or precede their contents; length that was
 * not flushed; locks that end with their process. Not modelled: damage of synced sectors, failing syncs
 * (faulty-fs.ts).
 */
export function crashingFs(
  random: () => number,
  cutAt = Number.POSITIVE_INFINITY,
  initial: Names = new Map([['/', 'directory']]),
): CrashingFs {
  const state = {
    calls: 0,
    names: new Map(initial),
    durableNames: new Map(initial),
    unsynced: [] as { readonly directory: string; readonly apply: (names: Names) => void }[],
    locks: new Map<string, string>(),
  };
  function step(): void {
    if (++state.calls > cutAt) throw new PowerCut(`power cut at call ${state.calls}`);
  }
  /** Changes the names now, and durably once the directory is synced. */
  function change(directory: string, apply: (names: Names) => void): void {
    apply(state.names);
    state.unsynced.push({ directory, apply });
  }
  const files = fileSystemOn(state, step, change);
  return {
    files,
    calls: () => state.calls,
    reboot(next) {
      // A journal commits names in order, so what survives is a prefix.
      const kept = below(random, state.unsynced.length + 1);
      for (const { apply } of state.unsynced.slice(0, kept)) apply(state.durableNames);
      return crashingFs(
        random,
        next,
        contentsOf(state.durableNames, (it) => survivor(it, random)),
      );
    },
    copy: (seed, next) =>
      crashingFs(
        seed,
        next,
        contentsOf(state.names, (it) => it.live),
      ),
  };
}

type State = {
  readonly names: Names;
  durableNames: Names;
  unsynced: { readonly directory: string; readonly apply: (names: Names) => void }[];
  readonly locks: Map<string, string>;
};

function fileSystemOn(
  state: State,
  step: () => void,
  change: (directory: string, apply: (names: Names) => void) => void,
): FileSystem {
  function entry(path: string): Entry {
    const found = state.names.get(path);
    if (!found) throw new SystemError('NOT_FOUND', `${path}: no such file`);
    return found;
  }
  function inode(path: string): Inode {
    const found = entry(path);
    if (found === 'directory') throw new SystemError('IO', `${path} is a directory`);
    return found;
  }
  const files: FileSystem = {
    async create(path) {
      step();
      if (state.names.has(path)) throw new SystemError('EXISTS', `${path} exists`);
      if (entry(dirname(path)) !== 'directory') throw new SystemError('NOT_FOUND', path);
      const made: Inode = { live: new Uint8Array(), durable: new Uint8Array(), pending: [] };
      change(dirname(path), (names) => names.set(path, made));
      return fileOn(path, made, step);
    },
    async open(path) {
      step();
      return fileOn(path, inode(path), step);
    },
    async readFile(path, limit) {
      step();
      const { live } = inode(path);
      if (live.length > limit) throw new SystemError('IO', `${path} is too long`);
      return live.slice();
    },
    async stat(path): Promise<FileStatus | undefined> {
      step();
      const found = state.names.get(path);
      if (!found) return undefined;
      if (found === 'directory') return { kind: 'directory', size: 0, allocated: 0 };
      return { kind: 'file', size: found.live.length, allocated: found.live.length };
    },
    async rename(from, to) {
      step();
      const moved = entry(from);
      change(dirname(to), (names) => {
        names.delete(from);
        names.set(to, moved);
      });
    },
    async unlink(path) {
      step();
      inode(path);
      change(dirname(path), (names) => names.delete(path));
    },
    async removeTree(path) {
      step();
      const inside = [...state.names.keys()].filter(
        (it) => it === path || it.startsWith(`${path}/`),
      );
      // Deepest first, as rm does it; a power cut may leave any part.
      for (const it of inside.sort((a, b) => b.length - a.length)) {
        change(dirname(it), (names) => names.delete(it));
      }
    },
    async makeDirectory(path) {
      step();
      if (state.names.get(path) === 'directory') return;
      if (!state.names.has(dirname(path))) await files.makeDirectory(dirname(path));
      change(dirname(path), (names) => names.set(path, 'directory'));
    },
    async list(directory) {
      step();
      if (entry(directory) !== 'directory') throw new SystemError('NOT_FOUND', directory);
      const inside = [...state.names.keys()].filter(
        (it) => it !== '/' && dirname(it) === directory,
      );
      return inside.map((path) => path.slice(path.lastIndexOf('/') + 1)).sort();
    },
    async syncDirectory(directory) {
      step();
      // Ordered journals: what was changed before it anywhere is durable with it.
      const last = state.unsynced.findLastIndex((it) => it.directory === directory);
      for (const { apply } of state.unsynced.splice(0, last + 1)) apply(state.durableNames);
    },
    async lock(path, holder) {
      step();
      const other = state.locks.get(path);
      if (other !== undefined) throw new SystemError('BUSY', `${path} is in use by ${other}`);
      state.locks.set(path, holder);
      return {
        async [Symbol.asyncDispose]() {
          state.locks.delete(path);
        },
      };
    },
    lockHolder: async (path) => state.locks.get(path),
    async freeSpace() {
      step();
      return 2 ** 40;
    },
  };
  return files;
}

function fileOn(path: string, inode: Inode, step: () => void): File {
  function write(from: Uint8Array, offset: number): void {
    step();
    inode.live = grown(inode.live, offset + from.length);
    inode.live.set(from, offset);
    inode.pending.push({ from: Uint8Array.from(from), offset });
  }
  function read(into: Uint8Array, offset: number): number {
    step();
    const part = inode.live.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }
  return {
    path,
    async size() {
      step();
      return inode.live.length;
    },
    read: async (into, offset) => read(into, offset),
    readNow: read,
    willNeed() {},
    write: async (from, offset) => write(from, offset),
    writeNow: write,
    async sync() {
      step();
      inode.durable = inode.live.slice();
      inode.pending = [];
    },
    async truncate(size) {
      step();
      const next = new Uint8Array(size);
      next.set(inode.live.subarray(0, size));
      inode.live = next;
      // Lengths reach the disk with the metadata, at any time.
      const durable = new Uint8Array(size);
      durable.set(inode.durable.subarray(0, size));
      inode.durable = durable;
      inode.pending = inode.pending.filter(({ from, offset }) => offset + from.length <= size);
    },
    async punchHole(offset, length) {
      const end = Math.min(offset + length, inode.live.length);
      if (end > offset) write(new Uint8Array(end - offset), offset);
    },
    async nextData(offset) {
      step();
      return offset < inode.live.length ? { start: offset, end: inode.live.length } : undefined;
    },
    async [Symbol.asyncDispose]() {},
  };
}

function contentsOf(names: Names, bytesOf: (inode: Inode) => Uint8Array): Names {
  const copies = new Map<Inode, Inode>();
  const next: Names = new Map();
  for (const [path, entry] of names) {
    if (entry === 'directory') {
      next.set(path, entry);
      continue;
    }
    const bytes = bytesOf(entry);
    const copy = copies.get(entry) ?? { live: bytes.slice(), durable: bytes.slice(), pending: [] };
    copies.set(entry, copy);
    next.set(path, copy);
  }
  return next;
}

function survivor(inode: Inode, random: () => number): Uint8Array {
  let bytes = inode.durable.slice();
  for (const { from, offset } of inode.pending) {
    for (let at = 0; at < from.length; at += SECTOR) {
      if (random() < 0.5) continue;
      const part = from.subarray(at, Math.min(from.length, at + SECTOR));
      bytes = grown(bytes, offset + at + part.length);
      bytes.set(part, offset + at);
    }
  }
  return bytes;
}

function grown(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  if (bytes.length >= length) return bytes as Uint8Array<ArrayBuffer>;
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}
