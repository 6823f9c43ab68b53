import { CodedError } from '../../lib/coded-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { TreeError } from '../../vfs/tree-error.ts';

/*
 * Leases on recovery points whose disks are read through a tree. A file that is open has one until it is closed. A
 * client that only reads, as over NFS, has one until it has read nothing for a while. So a point that is forgotten
 * vanishes from the tree's names, and stays readable for those who have it.
 */

/** A file that is a disk, or a part of one. */
export interface DiskFile {
  /** The path of the whole disk. */
  readonly path: string;
  /** Takes the lease; undefined: none is needed. */
  readonly hold: (() => Promise<AsyncDisposable>) | undefined;
}

export interface HeldDisks<File extends DiskFile> extends AsyncDisposable {
  /** Whether there is a lease now. If not, it is being taken. */
  isHeld(id: number, file: File): boolean;
  /** Rejects TreeError STALE if the recovery point has been forgotten. The lease stays for as long as `work` runs. */
  during<T>(id: number, file: File, work: () => Promise<T>): Promise<T>;
  /** Keeps the lease until as many calls of `close`. */
  open(id: number, file: File): Promise<void>;
  close(id: number): void;
  /** A file for which there is a lease, whether its name is still there or not. */
  find(id: number): File | undefined;
  /** Ends the leases of files that are not open and were not read for a while. */
  expire(): Promise<void>;
}

/** A client over NFS that reads nothing for so long has closed the file, as far as that can be known. */
const IDLE_MS = 5 * 60_000;
/** Each is a file of this process. */
const HELD_MAX = 256;

interface Held<File> {
  readonly lease: Promise<AsyncDisposable>;
  isThere: boolean;
  opens: number;
  users: number;
  usedMs: number;
  /** By the node's ID: the disk, and parts of it. */
  readonly files: Map<number, File>;
}

/** `drop` is called before a lease ends: nothing may read that disk any longer once it resolves. */
export function heldDisks<File extends DiskFile>(
  clock: Pick<Clock, 'monotonicMs'>,
  drop: (path: string) => Promise<void>,
): HeldDisks<File> {
  /** By the disk's path; the one that was used longest ago is the first. */
  const held = new Map<string, Held<File>>();
  const byId = new Map<number, Held<File>>();
  const ending = new Set<Promise<void>>();

  function isIdle({ opens, users }: Held<File>): boolean {
    return opens === 0 && users === 0;
  }
  function end(path: string, it: Held<File>): void {
    held.delete(path);
    for (const id of it.files.keys()) byId.delete(id);
    const ended = drop(path)
      .then(() => it.lease)
      .then((lease) => lease[Symbol.asyncDispose]())
      // It was never there.
      .catch(() => {})
      .finally(() => ending.delete(ended));
    ending.add(ended);
  }
  function begin({ path, hold }: File): Held<File> {
    if (held.size >= HELD_MAX) {
      const oldest = [...held].find(([, it]) => isIdle(it));
      if (!oldest) throw new TreeError('IO', `${HELD_MAX} disks of recovery points are open`);
      end(...oldest);
    }
    const lease = hold!();
    const it: Held<File> = {
      ...{ lease, isThere: false, opens: 0, users: 0, usedMs: 0 },
      files: new Map(),
    };
    held.set(path, it);
    lease.then(
      () => (it.isThere = true),
      () => held.get(path) === it && end(path, it),
    );
    return it;
  }
  function use(id: number, file: File): Held<File> {
    const it = held.get(file.path) ?? begin(file);
    held.delete(file.path);
    held.set(file.path, it);
    it.usedMs = clock.monotonicMs();
    if (!it.files.has(id)) it.files.set(id, file);
    if (byId.get(id) !== it) byId.set(id, it);
    return it;
  }
  async function until(it: Held<File>): Promise<void> {
    try {
      await it.lease;
    } catch (cause) {
      if (!(cause instanceof CodedError)) throw cause;
      const code = cause.code === 'NOT_FOUND' ? 'STALE' : 'IO';
      throw new TreeError(code, cause.message, { cause });
    }
  }
  return {
    isHeld: (id, file) => !file.hold || use(id, file).isThere,
    async during(id, file, work) {
      if (!file.hold) return work();
      const it = use(id, file);
      it.users++;
      try {
        await until(it);
        return await work();
      } finally {
        it.users--;
      }
    },
    async open(id, file) {
      if (!file.hold) return;
      const it = use(id, file);
      it.opens++;
      await until(it);
    },
    close(id) {
      const it = byId.get(id);
      // Opened through a process before this one: what it held has ended with it.
      if (it && it.opens > 0) it.opens--;
    },
    find: (id) => byId.get(id)?.files.get(id),
    async expire() {
      const before = clock.monotonicMs() - IDLE_MS;
      for (const [path, it] of held) if (isIdle(it) && it.usedMs < before) end(path, it);
      await Promise.all(ending);
    },
    async [Symbol.asyncDispose]() {
      for (const [path, it] of held) end(path, it);
      await Promise.all(ending);
    },
  };
}
