import { type SpaceGuard, spaceGuard, type SpaceGuardOptions } from '../../block/space-guard.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { sessionReserve } from '../../store/directory/space-reserve.ts';
import type { Store } from '../../store/directory/store.ts';

export function sessionSpace(
  store: Store,
  { whenFull }: Pick<SessionRecord, 'whenFull'>,
  pausing: Pick<SpaceGuardOptions, 'signal' | 'onPause'> = {},
): SpaceGuard {
  const { clock, space } = store;
  return spaceGuard({ space, clock, reserve: sessionReserve, whenFull, ...pausing });
}
