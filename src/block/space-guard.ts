import type { Clock } from '../sys/base/clock.ts';
import type { FileSystem, Space } from '../sys/files/file-system.ts';
import { BlockError } from './block-error.ts';

/** Keeps a reserve of free space, so that sessions stop cleanly before a pool is full. */
export interface SpaceGuard {
  /** Takes `bytes` at once, or returns false: then use `take`. */
  tryTake(bytes: number): boolean;
  /** Resolves once `bytes` may be written; by configuration waits for space or rejects NO_SPACE. */
  take(bytes: number): Promise<void>;
  /** The medium reported that it is full although `take` succeeded: resolves once a retry may succeed, or rejects. */
  full(cause: unknown): Promise<void>;
  /** The number of bytes that may still be taken now. */
  left(): Promise<number>;
}

/** The free space of a disk, shared by the guards of all its writers: space taken by one is gone for the others. */
export interface SharedSpace {
  readonly directory: string;
  /** Asks the file system. */
  look(): Promise<Space>;
  /** Bytes that were free at the last look, minus those taken since then. */
  readonly free: number;
  take(bytes: number): void;
}

export function sharedSpace({
  files,
  directory,
}: {
  readonly files: FileSystem;
  readonly directory: string;
}): SharedSpace {
  let free = 0;
  let taken = 0;
  return {
    directory,
    get free() {
      return free;
    },
    async look() {
      const before = taken;
      const space = await files.space(directory);
      // The file system may not yet account for bytes taken in the meantime.
      free = space.freeBytes - (taken - before);
      return space;
    },
    take(bytes) {
      free -= bytes;
      taken += bytes;
    },
  };
}

export interface SpaceGuardOptions {
  readonly space: SharedSpace;
  readonly clock: Clock;
  /** Bytes left for others; called at each look at the file system. */
  readonly reserve: (space: Space) => number | Promise<number>;
  readonly whenFull: 'pause' | 'refuse';
  /** Ends all waits: waiting calls reject CLOSED. */
  readonly signal?: AbortSignal;
  /** Called when a write begins to wait, so that people can be notified. */
  readonly onPause?: () => void;
}

/**
 * Asking the file system takes a turn of the thread pool; short, because others may fill the disk in the meantime.
 */
const LOOK_EVERY_MS = 1000;

export function spaceGuard(options: SpaceGuardOptions): SpaceGuard {
  const { space, clock, reserve, whenFull, signal, onPause } = options;
  const { directory } = space;
  let kept = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;

  async function look(): Promise<void> {
    const now = clock.monotonicMs();
    kept = await reserve(await space.look());
    lookedAt = now;
  }
  function takeIfFree(bytes: number): boolean {
    if (space.free - kept < bytes) return false;
    space.take(bytes);
    return true;
  }
  async function pause(): Promise<void> {
    await clock.sleep(LOOK_EVERY_MS, signal).catch(() => {
      throw new BlockError('CLOSED', `${directory}: it is full, and waiting has ended`);
    });
  }
  return {
    tryTake: (bytes) => clock.monotonicMs() - lookedAt <= LOOK_EVERY_MS && takeIfFree(bytes),
    async full(cause) {
      if (whenFull === 'refuse') throw cause;
      onPause?.();
      await pause();
    },
    async left() {
      await look();
      return Math.max(0, space.free - kept);
    },
    async take(bytes) {
      for (let waits = 0; ; waits++) {
        await look();
        // However long the look took: a busy host is not a full disk.
        if (takeIfFree(bytes)) return;
        if (whenFull === 'refuse') {
          throw new BlockError('NO_SPACE', `${directory}: only the reserve of ${kept} is left`);
        }
        if (waits === 0) onPause?.();
        await pause();
      }
    },
  };
}
