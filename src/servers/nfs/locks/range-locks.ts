/**
 * Advisory locks over ranges of files. The ranges of one owner never conflict with each other, and a new lock
 * replaces the owner's earlier ones there, by the rules of POSIX. Locks are lost when the process ends: clients see
 * that as a server restart.
 */
export interface RangeLocks {
  /** The conflicting holder; undefined: none. */
  conflict(file: string, wanted: Lock): Lock | undefined;
  /** Takes the lock, or returns a conflicting one. FULL: there are too many locks. */
  take(file: string, wanted: Lock): Lock | 'FULL' | undefined;
  release(file: string, owner: string, range: Range): void;
  /** Releases all locks of a host that has restarted. */
  releaseHost(host: string): void;
  /** Releases all locks of the files whose keys have this prefix. */
  releaseFiles(prefix: string): void;
}

export interface Range {
  readonly start: number;
  /** The first offset after the range; Infinity: the range ends with the file, however long it becomes. */
  readonly end: number;
}

export interface Lock extends Range {
  /** Host and process. */
  readonly owner: string;
  readonly host: string;
  readonly address: string;
  readonly exclusive: boolean;
  /** As the client sent it: other clients see it in the answer to TEST. */
  readonly process: number;
  readonly handle: Uint8Array;
}

const LOCKS_MAX = 10_000;
/** Limit for one address, so that others have room: QEMU takes some ten for a disk. */
const LOCKS_OF_ADDRESS_MAX = 4000;

export function rangeLocks(): RangeLocks {
  const files = new Map<string, Lock[]>();
  const counts = new Map<string, number>();
  let count = 0;

  function tally(locks: readonly Lock[], step: 1 | -1): void {
    count += step * locks.length;
    for (const { address } of locks) {
      const its = (counts.get(address) ?? 0) + step;
      if (its === 0) counts.delete(address);
      else counts.set(address, its);
    }
  }
  function put(file: string, locks: Lock[]): void {
    tally(files.get(file) ?? [], -1);
    tally(locks, 1);
    if (locks.length === 0) files.delete(file);
    else files.set(file, locks);
  }
  /** Everyone's locks on a file, without `owner`'s within `range`. */
  function without(file: string, owner: string, range: Range): Lock[] {
    return (files.get(file) ?? []).flatMap((lock) => {
      if (lock.owner !== owner || !overlap(lock, range)) return [lock];
      const before = { ...lock, end: range.start };
      const after = { ...lock, start: range.end };
      return [before, after].filter(({ start, end }) => start < end);
    });
  }
  function conflict(file: string, wanted: Lock): Lock | undefined {
    return files
      .get(file)
      ?.find(
        (lock) =>
          lock.owner !== wanted.owner &&
          (lock.exclusive || wanted.exclusive) &&
          overlap(lock, wanted),
      );
  }
  return {
    conflict,
    take(file, wanted) {
      const other = conflict(file, wanted);
      if (other) return other;
      const its = counts.get(wanted.address) ?? 0;
      if (count >= LOCKS_MAX || its >= LOCKS_OF_ADDRESS_MAX) return 'FULL';
      put(file, [...without(file, wanted.owner, wanted), wanted]);
      return undefined;
    },
    release: (file, owner, range) => put(file, without(file, owner, range)),
    releaseHost(host) {
      for (const [file, locks] of files) {
        put(
          file,
          locks.filter((lock) => lock.host !== host),
        );
      }
    },
    releaseFiles(prefix) {
      for (const file of files.keys()) if (file.startsWith(prefix)) put(file, []);
    },
  };
}

function overlap(a: Range, b: Range): boolean {
  return a.start < b.end && b.start < a.end;
}
