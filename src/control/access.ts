import { groupId, ownIds, type UnixPeer } from '../sys/unix-peer.ts';
import type { Access } from './door.ts';

const ALL = 'holdfast';
const VIEW = 'holdfast-view';

/**
 * What somebody on this machine may ask. Groups are looked up each time, so that one that is made later counts; those
 * of the process itself are what it had when it connected.
 */
export function accessOf(
  { uid, gids }: UnixPeer,
  groupIdOf: typeof groupId = groupId,
): Access | undefined {
  if (uid === 0 || uid === ownIds().uid) return 'change';
  const isIn = (name: string): boolean => {
    const id = groupIdOf(name);
    return id !== undefined && gids.includes(id);
  };
  if (isIn(ALL)) return 'change';
  return isIn(VIEW) ? 'view' : undefined;
}
