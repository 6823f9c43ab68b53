import { syncPace } from '../../block/latency-gate.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { PackStore } from './pack-store.ts';
import { StoreError } from './store-error.ts';

/**
 * Fills `into` from a pack in this thread. False: the medium has been slow, the pack is not open, or the read failed;
 * then reading it the other way reports the error.
 */
export type TryReadFrame = (into: Uint8Array, pack: number, offset: number) => boolean;

export function pacedReads(packs: PackStore, clock: Clock): TryReadFrame {
  const pace = syncPace(clock);
  return (into, pack, offset) => {
    if (!pace.mayBlock()) return false;
    try {
      return pace.timed(() => packs.tryRead(into, pack, offset));
    } catch (cause) {
      if (cause instanceof StoreError || cause instanceof SystemError) return false;
      throw cause;
    }
  };
}
