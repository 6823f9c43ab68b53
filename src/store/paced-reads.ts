import { syncPace } from '../block/sync-pace.ts';
import type { Clock } from '../sys/clock.ts';
import type { PackFiles } from './pack-files.ts';

/** Fills `into` from a pack in this thread; false: the medium has been slow, or the pack is not open. */
export type TryReadFrame = (into: Uint8Array, pack: number, offset: number) => boolean;

export function pacedReads(packs: PackFiles, clock: Clock): TryReadFrame {
  const pace = syncPace(clock);
  return (into, pack, offset) =>
    pace.mayBlock() && pace.timed(() => packs.tryRead(into, pack, offset));
}
