import type { TreeNode } from '../../../vfs/file-tree.ts';
import type { Peer } from '../../../sys/net/network.ts';
import type { Networks } from '../../../sys/net/networks.ts';

/** The hosts that may use an export, and the user that each caller counts as. */
export interface NfsAccess {
  readonly allow: Networks;
  readonly readOnly: boolean;
  /** Whose calls count as those of user 65534: root's or everyone's. */
  readonly squash: 'none' | 'root' | 'all';
  /**
   * Whether calls must come from ports below 1024, which usually only root can use; on this machine, only root's do.
   */
  readonly privilegedPorts: boolean;
}

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly gids: readonly number[];
}

const NOBODY: Identity = { uid: 65_534, gid: 65_534, gids: [] };
const ROOT = 0;
const PRIVILEGED_END = 1024;

/** A local user who is not root has no privileged ports, whatever this machine allows users to bind. */
export function isAllowed(
  { allow, privilegedPorts }: NfsAccess,
  { address, port, user = ROOT }: Peer,
): boolean {
  return allow.has(address) && (!privilegedPorts || (port < PRIVILEGED_END && user === ROOT));
}

/** The identity of a caller. What the call claims counts only if root of the peer's machine vouches for it. */
export function identified(said: Identity, { user = ROOT }: Peer): Identity {
  return user === ROOT ? said : { ...NOBODY, uid: user };
}

/** Root's group counts as root's, too: a user may not claim it instead. */
export function squashed({ squash }: NfsAccess, caller: Identity): Identity {
  if (squash === 'none') return caller;
  if (squash === 'all' || caller.uid === ROOT) return NOBODY;
  return {
    uid: caller.uid,
    gid: caller.gid === ROOT ? NOBODY.gid : caller.gid,
    gids: caller.gids.filter((gid) => gid !== ROOT),
  };
}

export const PERMISSION = { read: 4, write: 2, execute: 1 } as const;

/** The PERMISSION bits that `who` has on a node, by the rules of POSIX. */
export function permissions({ mode, uid, gid, kind }: TreeNode, who: Identity): number {
  if (who.uid === ROOT) {
    const canExecute = kind === 'directory' || (mode & 0o111) !== 0;
    return PERMISSION.read | PERMISSION.write | (canExecute ? PERMISSION.execute : 0);
  }
  if (who.uid === uid) return (mode >> 6) & 7;
  if (who.gid === gid || who.gids.includes(gid)) return (mode >> 3) & 7;
  return mode & 7;
}
