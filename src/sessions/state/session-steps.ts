import { join } from 'node:path/posix';
import { leaseTurn, readLease, releaseLease, takeLease } from '../../catalog/leases.ts';
import { isPublished } from '../../catalog/points.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { SessionDisk, SessionRecord } from '../../formats/store/sessions/session.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { SessionError } from './session-error.ts';
import { removeSession, sessionDirectory } from './session-files.ts';
import type { SessionHouse } from './session-store.ts';
import { makeOverlays } from './session-overlays.ts';

/** Takes the lease and makes empty overlays. */
export async function prepare(house: SessionHouse, session: SessionRecord): Promise<void> {
  const { world, store } = house;
  const { id } = session;
  // A lease whose session a power cut took back would never be released.
  await world.files.syncDirectory(join(store.directory, 'sessions'));
  await takeLeaseOf(house, session);
  await makeOverlays(house, session);
  await world.files.syncDirectory(sessionDirectory(store, id));
}

/** Takes the lease again where it is missing or damaged: a session that is resumed must be protected like a new one. */
export async function mendLease(house: SessionHouse, session: SessionRecord): Promise<void> {
  const { world, store } = house;
  const lease = await readLease(world, store, session.id);
  if (lease?.set === session.set && lease.point === session.point) return;
  try {
    await takeLeaseOf(house, session);
  } catch (cause) {
    // Its guest needs the session more: a check names the lease, and the next start tries again.
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
  }
}

/** From then on the recovery point stays. Rejects NOT_FOUND. */
async function takeLeaseOf({ world, store }: SessionHouse, session: SessionRecord): Promise<void> {
  const { id, set, point } = session;
  const holder = `session ${id}`;
  await using _turn = await leaseTurn(world, store, holder);
  if (!(await isPublished(world, store, { set, id: point }))) {
    throw new SessionError('NOT_FOUND', `recovery point ${point} has just been forgotten`);
  }
  await takeLease(world, store, id, { set, point, holder });
}

/** Removes all that the session had. */
export async function clean(
  { world, store }: SessionHouse,
  { id }: Pick<SessionRecord, 'id'>,
): Promise<void> {
  await releaseLease(world, store, id);
  await removeSession(world, store, id);
}

/** The disks of a recovery point, by the names that a session has for them. */
export function sessionDisks({ disks }: PointRecord): SessionDisk[] {
  return disks.map(({ name, size, sectorSize }) => ({
    ...{ name, size },
    ...(sectorSize && { sectorSize }),
  }));
}
