import type { BlockDevice } from '../../block/block-device.ts';
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
