import { join } from 'node:path/posix';
import { readLayer } from '../block/layer.ts';
import { openOverlay, type Overlay } from '../block/overlay.ts';
import { type SpaceGuard, spaceGuard, type SpaceGuardOptions } from '../block/space-guard.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { leaseTurn, readLease, releaseLease, takeLease } from '../catalog/leases.ts';
import { isPublished } from '../catalog/points.ts';
import type { PointRecord } from '../formats/store/point.ts';
import type { SessionDisk, SessionRecord } from '../formats/store/session.ts';
import { sessionReserve } from '../store/space-reserve.ts';
import type { Store } from '../store/store.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';
import { SessionError } from './session-error.ts';
import { removeSession, sessionDirectory } from './session-files.ts';

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

/** Takes the lease and makes empty overlays. */
export async function prepare(house: SessionHouse, session: SessionRecord): Promise<void> {
  const { world, store } = house;
  const { id } = session;
  // A lease whose session a power cut took back would never be released.
  await world.files.syncDirectory(join(store.directory, 'sessions'));
  await takeLeaseOf(house, session);
  const space = sessionSpace(house, session);
  for (const disk of session.disks) {
    const nothing = readLayer('nothing', { size: disk.size, blockSize: 4096 }, { async read() {} });
    await using _made = await overlayOf(house, session, { disk, base: nothing, space });
  }
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

export interface OverlayOf {
  readonly disk: SessionDisk;
  readonly base: BlockDevice;
  readonly space: SpaceGuard;
}

/** Opens the overlay of a disk. Of a session past its preparation a lost one is never made anew. */
export async function overlayOf(
  { world, store }: SessionHouse,
  { id, phase }: SessionRecord,
  { disk, base, space }: OverlayOf,
): Promise<Overlay> {
  const { files, clock } = world;
  const directory = sessionDirectory(store, id);
  if (phase !== 'preparing' && !(await files.stat(join(directory, `${disk.name}.map`)))) {
    throw new SessionError('CORRUPT', `session ${id} has lost the overlay of disk ${disk.name}`);
  }
  return openOverlay({ files, clock, directory, disk: disk.name, space }, base);
}

/** Removes all that the session had. */
export async function clean({ world, store }: SessionHouse, { id }: SessionRecord): Promise<void> {
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
