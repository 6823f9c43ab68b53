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

/** What outlives a process: the disk, and what the kernel has of it in memory. */
interface Machine {
  readonly names: Names;
  readonly durableNames: Names;
  unsynced: { readonly directory: string; readonly apply: (names: Names) => void }[];
  readonly boot: number;
}

export interface CrashingFs {
  readonly files: FileSystem;
  /** Calls so far. */
  calls(): number;
  /** The disk as the next boot finds it, by default without another power cut. */
  reboot(cutAt?: number): CrashingFs;
  /** The process is killed, whose calls fail from now on; the next one finds all that it wrote. */
  kill(cutAt?: number): CrashingFs;
  /** As it is now, all of it durable, in the same boot. */
  copy(random: () => number, cutAt?: number): CrashingFs;
}

/**
 * A disk in memory that loses power at its `cutAt`-th call, or whose process is killed there: `reboot` or
 * `kill` tells. What was not synced by then survives a power cut or not, sector by sector and directory
 * entry by directory entry, as `random` decides; a write at which it happens is done in part.
 *
 * Modelled: lost, reordered and torn writes; names that outlive or precede their contents; length that was
 * not flushed; locks that end with their process. Not modelled: damage of synced sectors, failing syncs
 * (faulty-fs.ts).
 */
export function crashingFs(
  random: () => number,
  cutAt = Number.POSITIVE_INFINITY,
  initial: Names = new Map([['/', 'directory']]),
  boot = 1,
): CrashingFs {
  const names = new Map(initial);
  return processOn({ names, durableNames: new Map(initial), unsynced: [], boot }, random, cutAt);
}

function processOn(machine: Machine, random: () => number, cutAt: number): CrashingFs {
  let calls = 0;
  let isKilled = false;
  /** `torn` does a part of the call at which it happens. */
  function step(torn?: () => void): void {
    if (++calls <= cutAt && !isKilled) return;
    if (calls === cutAt + 1 && !isKilled) torn?.();
    throw new PowerCut(`power cut at call ${calls}`);
  }
  /** Changes the names now, and durably once the directory is synced. */
  function change(directory: string, apply: (names: Names) => void): void {
    apply(machine.names);
    machine.unsynced.push({ directory, apply });
  }
  const files = fileSystemOn({ machine, locks: new Map(), random, step, change });
  return {
    files,
    calls: () => calls,
    reboot(next) {
      // The names of a directory become durable in their order, so what survives is a prefix of each.
      for (const directory of new Set(machine.unsynced.map((it) => it.directory))) {
        const changes = machine.unsynced.filter((it) => it.directory === directory);
        const kept = below(random, changes.length + 1);
        for (const { apply } of changes.slice(0, kept)) apply(machine.durableNames);
      }
      dropOrphans(machine.durableNames);
      const names = contentsOf(machine.durableNames, (it) => survivor(it, random));
      return crashingFs(random, next, names, machine.boot + 1);
    },
    kill(next = Number.POSITIVE_INFINITY) {
      isKilled = true;
      return processOn(machine, random, next);
    },
    copy(seed, next) {
      const names = contentsOf(machine.names, (it) => it.live);
      return crashingFs(seed, next, names, machine.boot);
    },
  };
}

interface Process {
  readonly machine: Machine;
  readonly locks: Map<string, string>;
  readonly random: () => number;
  readonly step: (torn?: () => void) => void;
  readonly change: (directory: string, apply: (names: Names) => void) => void;
}

function fileSystemOn(process: Process): FileSystem {
  const { machine, locks, step, change } = process;
  function entry(path: string): Entry {
    const found = machine.names.get(path);
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
      if (machine.names.has(path)) throw new SystemError('EXISTS', `${path} exists`);
      if (entry(dirname(path)) !== 'directory') throw new SystemError('NOT_FOUND', path);
      const made: Inode = { live: new Uint8Array(), durable: new Uint8Array(), pending: [] };
      change(dirname(path), (names) => names.set(path, made));
      return fileOn(path, made, process);
    },
    async open(path) {
      step();
      return fileOn(path, inode(path), process);
    },
    async readFile(path, limit) {
      step();
      const { live } = inode(path);
      if (live.length > limit) throw new SystemError('IO', `${path} is too long`);
      return live.slice();
    },
    async stat(path): Promise<FileStatus | undefined> {
      step();
      const found = machine.names.get(path);
      if (!found) return undefined;
      const same = { fileSystem: 1, modifiedMs: Number.NaN };
      if (found === 'directory') return { kind: 'directory', size: 0, allocated: 0, ...same };
      const { length } = found.live;
      return { kind: 'file', size: length, allocated: length, ...same };
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
      const inside = [...machine.names.keys()].filter(
        (it) => it === path || it.startsWith(`${path}/`),
      );
      // Deepest first, as rm does it; a power cut may leave any part.
      for (const it of inside.sort((a, b) => b.length - a.length)) {
        change(dirname(it), (names) => names.delete(it));
      }
    },
    async makeDirectory(path) {
      step();
      if (machine.names.get(path) === 'directory') return;
      if (!machine.names.has(dirname(path))) await files.makeDirectory(dirname(path));
      change(dirname(path), (names) => names.set(path, 'directory'));
    },
    async list(directory) {
      step();
      if (entry(directory) !== 'directory') throw new SystemError('NOT_FOUND', directory);
      const inside = [...machine.names.keys()].filter(
        (it) => it !== '/' && dirname(it) === directory,
      );
      return inside.map((path) => path.slice(path.lastIndexOf('/') + 1)).sort();
    },
    async links() {
      step();
      return [];
    },
    async syncDirectory(directory) {
      step();
      // This one's names and no others: many a file system does more, but none promises it.
      for (const it of machine.unsynced)
        if (it.directory === directory) it.apply(machine.durableNames);
      machine.unsynced = machine.unsynced.filter((it) => it.directory !== directory);
    },
    async lock(path, holder) {
      step();
      const other = locks.get(path);
      if (other !== undefined) throw new SystemError('BUSY', `${path} is in use by ${other}`);
      locks.set(path, holder);
      return {
        async [Symbol.asyncDispose]() {
          locks.delete(path);
        },
      };
    },
    lockHolder: async (path) => locks.get(path),
    async space() {
      step();
      return { freeBytes: 2 ** 40, totalBytes: 2 ** 41 };
    },
    async bootId() {
      step();
      return `00000000-0000-4000-8000-${String(machine.boot).padStart(12, '0')}`;
    },
  };
  return files;
}

function fileOn(path: string, inode: Inode, { step, random }: Process): File {
  function write(from: Uint8Array, offset: number): void {
    step(() => apply(from.subarray(0, below(random, from.length / SECTOR + 1) * SECTOR), offset));
    apply(from, offset);
  }
  function apply(from: Uint8Array, offset: number): void {
    if (from.length === 0) return;
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
    sectorSize: () => 512,
    holdByte() {},
    isByteHeld: () => false,
    async [Symbol.asyncDispose]() {},
  };
}

/** What lies in a directory that is gone. */
function dropOrphans(names: Names): void {
  for (const path of [...names.keys()].sort((a, b) => a.length - b.length)) {
    if (names.get(dirname(path)) !== 'directory') names.delete(path);
  }
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
