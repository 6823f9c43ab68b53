import { groupId, groupsOf, ownIds, type UnixPeer, userId } from '../../sys/net/unix-peer.ts';
import type { Operation } from '../../operations/base/operation.ts';

const ALL = 'holdfast';
const VIEW = 'holdfast-view';

/**
 * The access of a process on this machine. Groups are looked up each time, so that a new group counts; those of the
 * process are the ones it had when it connected.
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

/** The users as which libvirt runs QEMU: on Debian, on Fedora. */
const QEMU_USERS = ['libvirt-qemu', 'qemu'];

/** Whether a process of this machine may open the disks of a session at its socket. */
export function mayOpenDisks(peer: UnixPeer, userIdOf: typeof userId = userId): boolean {
  if (accessOf(peer) === 'change') return true;
  return QEMU_USERS.some((name) => userIdOf(name) === peer.uid);
}

/** The same for a user who connects over TCP from this machine. */
export function userMayOpenDisks(uid: number): boolean {
  return mayOpenDisks({ pid: 0, uid, gids: groupsOf(uid) });
}

export type Access = Operation['access'];
