import type { TreeNode } from '../../../vfs/file-tree.ts';
import type { Peer } from '../../../sys/net/network.ts';
import type { Networks } from '../../../sys/net/networks.ts';

/** Who may use an export, and as whom. */
export interface NfsAccess {
  readonly allow: Networks;
  readonly readOnly: boolean;
  /** Whose calls count as nobody's: root's or everyone's. */
  readonly squash: 'none' | 'root' | 'all';
  /** Only from ports below 1024, which mostly only root can use, and of this machine only root's. */
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

/** A local user who is not root has no privileged ports, whatever this machine lets users bind. */
export function isAllowed(
  { allow, privilegedPorts }: NfsAccess,
  { address, port, user = ROOT }: Peer,
): boolean {
  return allow.has(address) && (!privilegedPorts || (port < PRIVILEGED_END && user === ROOT));
}

/** Who a caller is: who it says it is only where root of its machine vouches for that. */
export function identified(said: Identity, { user = ROOT }: Peer): Identity {
  return user === ROOT ? said : { ...NOBODY, uid: user };
}

/** Root's group is root's too: a user may not claim it instead. */
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

/** The bits of PERMISSION that `who` has on a node, as POSIX has it. */
export function permissions({ mode, uid, gid, kind }: TreeNode, who: Identity): number {
  if (who.uid === ROOT) {
    const canExecute = kind === 'directory' || (mode & 0o111) !== 0;
    return PERMISSION.read | PERMISSION.write | (canExecute ? PERMISSION.execute : 0);
  }
  if (who.uid === uid) return (mode >> 6) & 7;
  if (who.gid === gid || who.gids.includes(gid)) return (mode >> 3) & 7;
  return mode & 7;
}
