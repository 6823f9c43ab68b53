import type { Clock } from '../sys/clock.ts';
import type { FileSystem, Space } from '../sys/file-system.ts';
import { BlockError } from './block-error.ts';

/** Keeps a reserve of free space, so that sessions stop cleanly before a pool is full. */
export interface SpaceGuard {
  /** Takes `bytes` at once, or answers false: then `take` is the way. */
  tryTake(bytes: number): boolean;
  /** Resolves once `bytes` may be written; by choice waits for space or rejects NO_SPACE. */
  take(bytes: number): Promise<void>;
  /** The medium said that it is full although `take` had not: resolves once it may be tried again, or rejects. */
  full(cause: unknown): Promise<void>;
  /** How much may still be taken, now. */
  left(): Promise<number>;
}

export interface SpaceGuardOptions {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly directory: string;
  /** Bytes that are left to others, asked whenever the file system is. */
  readonly reserve: (space: Space) => number | Promise<number>;
  readonly whenFull: 'pause' | 'refuse';
  /** Nobody is waited for any more: those that wait reject CLOSED. */
  readonly signal?: AbortSignal;
  /** Called when a write begins to wait, so that someone can be told. */
  readonly onPause?: () => void;
}

/** Asking the file system costs a thread-pool turn; others may fill it meanwhile, hence so short. */
const LOOK_EVERY_MS = 1000;

export function spaceGuard(options: SpaceGuardOptions): SpaceGuard {
  const { files, clock, directory, reserve, whenFull, signal, onPause } = options;
  let budget = 0;
  let kept = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;

  async function look(): Promise<void> {
    lookedAt = clock.monotonicMs();
    const space = await files.space(directory);
    kept = await reserve(space);
    budget = space.freeBytes - kept;
  }
  function tryTake(bytes: number): boolean {
    if (budget < bytes || clock.monotonicMs() - lookedAt > LOOK_EVERY_MS) return false;
    budget -= bytes;
    return true;
  }
  async function pause(): Promise<void> {
    await clock.sleep(LOOK_EVERY_MS, signal).catch(() => {
      throw new BlockError('CLOSED', `${directory}: it is full, and nothing waits any longer`);
    });
  }
  return {
    tryTake,
    async full(cause) {
      if (whenFull === 'refuse') throw cause;
      onPause?.();
      await pause();
    },
    async left() {
      await look();
      return Math.max(0, budget);
    },
    async take(bytes) {
      for (let waits = 0; ; waits++) {
        await look();
        if (tryTake(bytes)) return;
        if (whenFull === 'refuse') {
          throw new BlockError('NO_SPACE', `${directory}: only the reserve of ${kept} is left`);
        }
        if (waits === 0) onPause?.();
        await pause();
      }
    },
  };
}
