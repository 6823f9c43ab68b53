import { type SpaceGuard, spaceGuard, type SpaceGuardOptions } from '../block/space-guard.ts';
import type { SessionRecord } from '../formats/store/session.ts';
import { sessionReserve } from '../store/space-reserve.ts';
import type { Store } from '../store/store.ts';
import type { World } from '../sys/world.ts';
import { sessionDirectory } from './session-files.ts';

/** Where sessions live. */
export interface SessionHouse {
  readonly world: World;
  readonly store: Store;
}

export function sessionSpace(
  { world, store }: SessionHouse,
  { id, whenFull }: SessionRecord,
  pausing: Pick<SpaceGuardOptions, 'signal' | 'onPause'> = {},
): SpaceGuard {
  const { files, clock } = world;
  const directory = sessionDirectory(store, id);
  return spaceGuard({ files, clock, directory, reserve: sessionReserve, whenFull, ...pausing });
}
