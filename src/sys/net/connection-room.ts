import type { UnixPeer } from './unix-peer.ts';

/*
 * Room for connections over a unix socket that every user of this machine may open. Root has room of its own, so that
 * no user keeps the administrator out; each other user with access has a bound; all users without access share a
 * small one. When a group is full, its connection that has been idle for longest is ended for the next: a user's own
 * forgotten connections do not keep that user out either. Nor do those of other users: the user that has most gives
 * one up.
 */
export interface ConnectionRoom {
  /** Undefined: there is no room. `end` ends this connection; it may be called later to make room for another. */
  enter(peer: UnixPeer | undefined, end: () => void): Occupant | undefined;
}

export interface Occupant {
  /** Whether a request is under way. */
  busy(isBusy: boolean): void;
  leave(): void;
}

/** Each connection takes a descriptor; a console, some scripts and some open views need far fewer. */
const OF_ROOT_MAX = 64;
const OF_USER_MAX = 32;
const OF_USERS_MAX = 128;
/** Each gets one answer: access denied. */
const OF_STRANGERS_MAX = 16;

interface Inside {
  readonly group: string;
  readonly end: () => void;
  isBusy: boolean;
  since: number;
}

/** `knows` says whether a peer has any access. */
export function connectionRoom(knows: (peer: UnixPeer) => boolean): ConnectionRoom {
  const inside = new Set<Inside>();
  let sequence = 0;

  function groupOf(peer: UnixPeer | undefined): string {
    if (!peer || !knows(peer)) return 'strangers';
    return peer.uid === 0 ? 'root' : `user ${peer.uid}`;
  }
  const count = (isIn: (it: Inside) => boolean): number => [...inside].filter(isIn).length;
  function isFull(group: string): boolean {
    const its = count((it) => it.group === group);
    if (group === 'strangers') return its >= OF_STRANGERS_MAX;
    if (group === 'root') return its >= OF_ROOT_MAX;
    return its >= OF_USER_MAX || count((it) => it.group.startsWith('user ')) >= OF_USERS_MAX;
  }
  /** The connections of which one may be ended for another of the group. */
  function idleFor(group: string): Inside[] {
    const idle = [...inside].filter((it) => !it.isBusy);
    const isUser = (it: string): boolean => it.startsWith('user ');
    if (!isUser(group) || count((it) => it.group === group) >= OF_USER_MAX) {
      return idle.filter((it) => it.group === group);
    }
    const users = Map.groupBy(
      idle.filter((it) => isUser(it.group)),
      (it) => it.group,
    );
    const [most = []] = [...users.values()].toSorted((a, b) => b.length - a.length);
    return most;
  }
  return {
    enter(peer, end) {
      const group = groupOf(peer);
      if (isFull(group)) {
        const idle = idleFor(group);
        if (idle.length === 0) return undefined;
        const longest = idle.reduce((a, b) => (b.since < a.since ? b : a));
        inside.delete(longest);
        longest.end();
      }
      const it: Inside = { group, end, isBusy: false, since: ++sequence };
      inside.add(it);
      return {
        busy(isBusy) {
          it.isBusy = isBusy;
          it.since = ++sequence;
        },
        leave: () => void inside.delete(it),
      };
    },
  };
}
