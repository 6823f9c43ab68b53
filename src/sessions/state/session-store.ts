import { type SpaceGuard, spaceGuard, type SpaceGuardOptions } from '../../block/space-guard.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { sessionReserve } from '../../store/directory/space-reserve.ts';
import type { Store } from '../../store/directory/store.ts';
import type { World } from '../../sys/world.ts';

/** Where sessions live. */
export interface SessionHouse {
  readonly world: World;
  readonly store: Store;
}

export function sessionSpace(
  { world, store }: SessionHouse,
  { whenFull }: Pick<SessionRecord, 'whenFull'>,
  pausing: Pick<SpaceGuardOptions, 'signal' | 'onPause'> = {},
): SpaceGuard {
  const { clock } = world;
  const { space } = store;
  return spaceGuard({ space, clock, reserve: sessionReserve, whenFull, ...pausing });
}
