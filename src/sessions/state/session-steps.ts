import { join } from 'node:path/posix';
import {
  leaseTurn,
  readLease,
  releaseLease,
  sessionHolder,
  takeLease,
} from '../../catalog/leases.ts';
import { isPublished } from '../../catalog/points.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { SessionDisk, SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { SessionError } from './session-error.ts';
import { removeSession, sessionDirectory } from './session-files.ts';
import { makeOverlays } from './session-overlays.ts';

/** Takes the lease and makes empty overlays. */
export async function prepare(store: Store, session: SessionRecord): Promise<void> {
  const { id } = session;
  // A lease whose session a power cut undid would never be released.
  await store.files.syncDirectory(join(store.directory, 'sessions'));
  await takeLeaseOf(store, session);
  await makeOverlays(store, session);
  await store.files.syncDirectory(sessionDirectory(store, id));
}

/** Takes the lease again if it is missing or damaged: a resumed session must be protected like a new one. */
export async function mendLease(store: Store, session: SessionRecord): Promise<void> {
  const lease = await readLease(store, session.id);
  if (lease?.set === session.set && lease.point === session.point) return;
  try {
    await takeLeaseOf(store, session);
  } catch (cause) {
    // Its journal protects the recovery point, too (`sessionsAndLeases`); a check reports the lease, and the next start
    // tries again.
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
  }
}

/** From then on the recovery point cannot be forgotten. Rejects NOT_FOUND. */
async function takeLeaseOf(store: Store, session: SessionRecord): Promise<void> {
  const { id, set, point } = session;
  const holder = sessionHolder(id);
  await using _turn = await leaseTurn(store, holder);
  if (!(await isPublished(store, { set, id: point }))) {
    throw new SessionError('NOT_FOUND', `recovery point ${point} has just been forgotten`);
  }
  await takeLease(store, id, { set, point, holder });
}

/** Removes everything that belongs to the session. */
export async function clean(store: Store, { id }: Pick<SessionRecord, 'id'>): Promise<void> {
  await releaseLease(store, id);
  await removeSession(store, id);
}

/** The disks of a recovery point, by the names that a session has for them. */
export function sessionDisks({ disks }: PointRecord): SessionDisk[] {
  return disks.map(({ name, size, sectorSize }) => ({
    ...{ name, size },
    ...(sectorSize && { sectorSize }),
  }));
}
