import type { BlockDevice } from '../../block/block-device.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { BlockError } from '../../block/block-error.ts';

/** A guest sees only an error: `onLost` gets the details. */
export function toldReads(disk: BlockDevice, onLost: (what: string) => void): BlockDevice {
  return {
    ...disk,
    async read(into, offset) {
      try {
        await disk.read(into, offset);
      } catch (cause) {
        if (cause instanceof BlockError && cause.code === 'CORRUPT') onLost(cause.message);
        throw cause;
      }
    },
  };
}

/** `onRead` gets the duration of each read, in milliseconds, also of those that memory answers at once. */
export function timedReads(
  disk: BlockDevice,
  clock: Clock,
  onRead: (ms: number) => void,
): BlockDevice {
  return {
    ...disk,
    async read(into, offset) {
      const begun = clock.monotonicMs();
      await disk.read(into, offset);
      onRead(clock.monotonicMs() - begun);
    },
    tryRead(into, offset, effort) {
      const begun = clock.monotonicMs();
      const isDone = disk.tryRead(into, offset, effort);
      if (isDone) onRead(clock.monotonicMs() - begun);
      return isDone;
    },
  };
}
