import { dirname } from 'node:path/posix';
import type { File, FileStatus, FileSystem } from '../../src/sys/files/file-system.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';
import { below } from './random.ts';
import {
  applySome,
  contentsOf,
  dropOrphans,
  type Entry,
  moveInside,
  type NameChange,
  type Names,
} from './crashing-names.ts';
import { type Sectors, sectors } from './sectors.ts';

const SECTOR = 512;
const PAGE = 4096;

/** Thrown by the call at which the power went, and by every one after it. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut';
}

/** What the engine says when its world fails; anything else would be our own fault. */
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

/** What outlives a process: the disk, and what the kernel has of it in memory. */
interface Machine {
  readonly names: Names;
  readonly durableNames: Names;
  unsynced: NameChange[];
  readonly boot: number;
  capacity: number;
  syncFault: SyncFault;
}

/**
 * Whether a sync fails, and how much is on the medium none the less; `begun`: what was written when it began, but not
 * what was written since. `full`: there is no space for it, and the kernel keeps it.
 */
export type SyncFault = (path: string) => 'none' | 'begun' | 'some' | 'all' | 'full' | undefined;

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
  /** From now on there is space for so many bytes; what is there stays. */
  limit(capacity: number): void;
  used(): number;
  /** From now on syncs fail so, and the kernel takes what it could not write for written (fsync(2)). */
  failSyncs(fault: SyncFault): void;
  /** Changes what lies on the medium, behind everybody's back. */
  damage(path: string, change: (bytes: Uint8Array) => Uint8Array): void;
}

/**
 * A disk in memory that loses power at its `cutAt`-th call, or whose process is killed there: `reboot` or
 * `kill` tells. What was not synced by then survives a power cut or not, sector by sector in any of its versions and
 * name by name, as `random` decides; a write at which it happens is done in part.
 *
 * Modelled: lost, reordered and torn writes; names that outlive or precede their contents, or come back; length that
 * was not flushed; syncs and writes that take their time while others go on, and syncs that fail; a full disk; locks
 * that end with their process. Not modelled: calls that fail otherwise (faulty-fs.ts).
 */
export function crashingFs(
  random: () => number,
  cutAt = Number.POSITIVE_INFINITY,
  initial: Names = new Map([['/', 'directory']]),
  boot = 1,
): CrashingFs {
  const names = new Map(initial);
  const machine: Machine = {
    names,
    durableNames: new Map(initial),
    unsynced: [],
    boot,
    capacity: 2 ** 41,
    syncFault: () => undefined,
  };
  return processOn(machine, random, cutAt);
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
  /** What others may do while a call goes on. */
  async function pause(): Promise<void> {
    for (let n = 0; n < 4 && random() >= 0.8; n++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (isKilled) throw new PowerCut('power cut during a call');
  }
  /** Changes the names now, and durably once the directory is synced. */
  function change(directory: string, paths: readonly string[], apply: (names: Names) => void) {
    apply(machine.names);
    machine.unsynced.push({ directory, paths, apply });
  }
  function room(bytes: number, path: string): void {
    if (bytes <= 0 || bytes <= machine.capacity - usedOf(machine)) return;
    throw new SystemError('NO_SPACE', `${path}: no space left on device`);
  }
  const locks = new Map<string, string>();
  const held = new Map<object, Sectors>();
  const files = fileSystemOn({ machine, locks, held, random, step, pause, change, room });
  return {
    files,
    calls: () => calls,
    reboot(next) {
      applySome(machine.unsynced, machine.durableNames, random);
      dropOrphans(machine.durableNames);
      const names = contentsOf(machine.durableNames, (it) => it.survivor(random));
      return crashingFs(random, next, names, machine.boot + 1);
    },
    kill(next = Number.POSITIVE_INFINITY) {
      isKilled = true;
      return processOn(machine, random, next);
    },
    copy(seed, next) {
      const names = contentsOf(machine.names, (it) => it.live());
      return crashingFs(seed, next, names, machine.boot);
    },
    limit: (capacity) => void (machine.capacity = capacity),
    used: () => usedOf(machine),
    failSyncs: (fault) => void (machine.syncFault = fault),
    damage(path, damaged) {
      const entry = machine.names.get(path);
      if (!entry || entry === 'directory') throw new Error(`${path} is not a file`);
      const bytes = damaged(entry.live().slice());
      entry.truncate(bytes.length);
      entry.write(bytes, 0);
      entry.beginSync().complete();
    },
  };
}

interface Process {
  readonly machine: Machine;
  readonly locks: Map<string, string>;
  readonly held: Map<object, Sectors>;
  readonly random: () => number;
  readonly step: (torn?: () => void) => void;
  readonly pause: () => Promise<void>;
  readonly change: (
    ...change: [NameChange['directory'], NameChange['paths'], NameChange['apply']]
  ) => void;
  readonly room: (bytes: number, path: string) => void;
}

function fileSystemOn(process: Process): FileSystem {
  const { machine, locks, step, change } = process;
  /** What is locked in place of all directories. */
  const directory = sectors();
  function entry(path: string): Entry {
    const found = machine.names.get(path);
    if (!found) throw new SystemError('NOT_FOUND', `${path}: no such file`);
    return found;
  }
  function inode(path: string): Sectors {
    const found = entry(path);
    if (found === 'directory') throw new SystemError('IO', `${path} is a directory`);
    return found;
  }
  const files: FileSystem = {
    async create(path) {
      step();
      if (machine.names.has(path)) throw new SystemError('EXISTS', `${path} exists`);
      if (entry(dirname(path)) !== 'directory') throw new SystemError('NOT_FOUND', path);
      const made = sectors();
      change(dirname(path), [path], (names) => names.set(path, made));
      return fileOn(path, made, process);
    },
    async open(path) {
      step();
      const found = entry(path);
      return fileOn(path, found === 'directory' ? directory : found, process);
    },
    async readFile(path, limit) {
      step();
      const { length, live } = inode(path);
      if (length > limit) throw new SystemError('IO', `${path} is too long`);
      return live().slice();
    },
    async stat(path): Promise<FileStatus | undefined> {
      step();
      const found = machine.names.get(path);
      if (!found) return undefined;
      const same = { fileSystem: 1, modifiedMs: Number.NaN };
      if (found === 'directory') return { kind: 'directory', size: 0, allocated: 0, ...same };
      const { length } = found;
      return { kind: 'file', size: length, allocated: length - holesIn(found), ...same };
    },
    async rename(from, to) {
      step();
      const moved = entry(from);
      change(dirname(to), [from, to], (names) => {
        names.delete(from);
        names.set(to, moved);
        if (moved === 'directory') moveInside(names, from, to);
      });
    },
    async unlink(path) {
      step();
      inode(path);
      change(dirname(path), [path], (names) => names.delete(path));
    },
    async removeTree(path) {
      step();
      const inside = [...machine.names.keys()].filter(
        (it) => it === path || it.startsWith(`${path}/`),
      );
      // Deepest first, as rm does it; a power cut may leave any part.
      for (const it of inside.sort((a, b) => b.length - a.length)) {
        change(dirname(it), [it], (names) => names.delete(it));
      }
    },
    async makeDirectory(path) {
      step();
      if (machine.names.get(path) === 'directory') return;
      if (!machine.names.has(dirname(path))) await files.makeDirectory(dirname(path));
      change(dirname(path), [path], (names) => names.set(path, 'directory'));
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
      const freeBytes = Math.max(0, Math.min(2 ** 40, machine.capacity - usedOf(machine)));
      return { freeBytes, totalBytes: machine.capacity };
    },
    async bootId() {
      step();
      return `00000000-0000-4000-8000-${String(machine.boot).padStart(12, '0')}`;
    },
  };
  return files;
}

function fileOn(
  path: string,
  inode: Sectors,
  { machine, held, step, pause, random, room }: Process,
): File {
  const token = {};
  function write(from: Uint8Array, offset: number): void {
    step(() =>
      inode.write(from.subarray(0, below(random, from.length / SECTOR + 1) * SECTOR), offset),
    );
    const lacking = offset + from.length - inode.length;
    try {
      room(lacking, path);
    } catch (full) {
      // As far as it goes, as the kernel does it.
      const left = Math.max(0, machine.capacity - usedOf(machine));
      inode.write(from.subarray(0, Math.max(0, from.length - lacking + left)), offset);
      throw full;
    }
    inode.write(from, offset);
  }
  function read(into: Uint8Array, offset: number): number {
    step();
    const part = inode.live().subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }
  return {
    path,
    async size() {
      step();
      return inode.length;
    },
    read: async (into, offset) => read(into, offset),
    readNow: read,
    readCached: (into, offset) => read(into, offset) === into.length,
    willNeed() {},
    async write(from, offset) {
      await pause();
      write(from, offset);
    },
    writeNow: write,
    async sync() {
      step();
      const fault = machine.syncFault(path);
      // What is written in the meantime is none of its business.
      const sync = inode.beginSync();
      await pause();
      if (fault === undefined || fault === 'begun') sync.complete();
      if (fault === undefined) return;
      if (fault === 'full') throw new SystemError('NO_SPACE', `${path}: no space left on device`);
      inode.failSync(random, fault === 'begun' ? 'none' : fault);
      throw new SystemError('IO', `${path}: input/output error`);
    },
    async truncate(size) {
      step();
      inode.truncate(size);
    },
    async allocate(offset, length) {
      step();
      room(offset + length - inode.length, path);
      inode.extend(offset + length);
    },
    async drop(offset, length) {
      step();
      inode.drop(offset, length);
    },
    async punchHole(offset, length) {
      const end = Math.min(offset + length, inode.length);
      if (end <= offset) return;
      write(new Uint8Array(end - offset), offset);
      for (let at = offset; at < end; at += PAGE) punched(inode).add(at);
    },
    async nextData(offset) {
      step();
      return offset < inode.length ? { start: offset, end: inode.length } : undefined;
    },
    sectorSize: () => 512,
    holdByte: () => held.set(token, inode).has(token),
    isByteHeld: () => [...held].some(([it, at]) => it !== token && at === inode),
    [Symbol.asyncDispose]: async () => void held.delete(token),
  };
}

/** Pages of files that were punched, and not written again: as far as a test has to know. */
const HOLES = new WeakMap<Sectors, Set<number>>();

function punched(inode: Sectors): Set<number> {
  const found = HOLES.get(inode) ?? new Set();
  HOLES.set(inode, found);
  return found;
}

function holesIn(inode: Sectors): number {
  return (HOLES.get(inode)?.size ?? 0) * PAGE;
}

function usedOf({ names }: Machine): number {
  let bytes = 0;
  for (const entry of names.values()) {
    if (entry !== 'directory') bytes += entry.length - holesIn(entry);
  }
  return bytes;
}
