import type { WritableBlockDevice } from './block-device.ts';
import { BlockError } from './block-error.ts';
import { writeLayer } from './layer.ts';

/*
 * Keeps all writers from a disk for a while, so that a copy of it is what it holds, and stays so. Writes are refused
 * and not held back: a guest has an answer at once, and what was acknowledged is in the copy.
 */
export interface WriteFence {
  /** The disk, lent; reading and flushing are never refused. */
  readonly device: WritableBlockDevice;
  /** `true`: refuses writes, READ_ONLY; resolves once those under way have ended. May be repeated. */
  set(isUp: boolean): Promise<void>;
}

export function writeFence(disk: WritableBlockDevice, isUpFirst = false): WriteFence {
  let isUp = isUpFirst;
  let writing = 0;
  let quiet: PromiseWithResolvers<void> | undefined;
  function ended(): void {
    writing--;
    if (writing > 0) return;
    quiet?.resolve();
    quiet = undefined;
  }
  async function counted(work: () => Promise<void>): Promise<void> {
    if (isUp) {
      throw new BlockError(
        'READ_ONLY',
        `${disk.name} is being moved, and cannot be written until that is over`,
      );
    }
    writing++;
    try {
      await work();
    } finally {
      ended();
    }
  }
  return {
    device: writeLayer(disk.name, disk.geometry, {
      tryRead: (into, offset, effort) => disk.tryRead(into, offset, effort),
      read: (into, offset) => disk.read(into, offset),
      extents: (offset, length) => disk.extents(offset, length),
      tryWrite(from, offset, done) {
        if (isUp) return false;
        const isTaken = disk.tryWrite(from, offset, (failure) => {
          ended();
          done(failure);
        });
        if (isTaken) writing++;
        return isTaken;
      },
      write: (from, offset, durability) => counted(() => disk.write(from, offset, durability)),
      zero: (offset, length, durability) => counted(() => disk.zero(offset, length, durability)),
      flush: () => disk.flush(),
    }),
    async set(next) {
      isUp = next;
      if (!next || writing === 0) return;
      quiet ??= Promise.withResolvers();
      await quiet.promise;
    },
  };
}
