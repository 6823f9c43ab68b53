import { type NewAttributes, STATUS, writeChange } from '../../../formats/wire/nfs3.ts';
import type { XdrReader, XdrWriter } from '../../../formats/wire/xdr.ts';
import { isWritableTree, type TreeNode, type WritableFileTree } from '../../../vfs/file-tree.ts';
import { type Identity, PERMISSION, permissions } from '../exports/access.ts';
import { attributesOf, type Exports } from '../exports/exports.ts';
import { NfsFailure } from '../rpc/failure.ts';
import type { Caller } from './procedure.ts';
import type { Found, Served } from '../exports/export-entry.ts';

// Procedures that change something share this: permissions, and the part of the reply that says what changed.

/** A node that may be changed, in a tree that may be changed. */
export interface Subject {
  readonly found: Found & { readonly served: Served };
  readonly tree: WritableFileTree;
  readonly who: Identity;
}

/** Reads a handle, and returns its node. ROFS. */
export function readSubject(
  exports: Exports,
  args: XdrReader,
  { peer, identity }: Caller,
): Subject {
  const found = exports.read(args, peer);
  const { served, rule } = found;
  if (!served || rule?.readOnly !== false || !isWritableTree(served.tree)) {
    throw new NfsFailure(STATUS.readOnly, 'this export is read-only');
  }
  const who = exports.identity(found, identity);
  return { found: { served, rule, id: found.id }, tree: served.tree, who };
}

/** wcc_data: the node before and after. */
export function writeWhatChanged(writer: XdrWriter, found: Found, before: TreeNode): void {
  const after = found.served?.tree.node(found.id);
  writeChange(writer, before, after && attributesOf(found, after));
}

/** The node of a directory in which the caller may create and remove names. ACCES. */
export function changeableDirectory(exports: Exports, { found, who }: Subject): TreeNode {
  const directory = exports.node(found);
  const needed = PERMISSION.write | PERMISSION.execute;
  if ((permissions(directory, who) & needed) !== needed) {
    throw new NfsFailure(STATUS.access, 'no permission to change this directory');
  }
  return directory;
}

const STICKY = 0o1000;

/** In a directory with the sticky bit, like /tmp, users may remove only files of their own. ACCES. */
export function checkTakeable(
  { found, tree, who }: Subject,
  directory: TreeNode,
  name: string,
): void {
  if ((directory.mode & STICKY) === 0 || who.uid === 0 || who.uid === directory.uid) return;
  const id = tree.lookup(found.id, name);
  const node = id === undefined ? undefined : tree.node(id);
  if (node && node.uid !== who.uid)
    throw new NfsFailure(STATUS.access, 'this file belongs to another user');
}

export function belongs({ gid, gids }: Identity, wanted: number): boolean {
  return gid === wanted || gids.includes(wanted);
}

/** The rules of chmod, chown, truncate and utimes. PERM, ACCES. */
export function checkChanges(node: TreeNode, to: NewAttributes, who: Identity): void {
  if (who.uid === 0) return;
  const isOwner = who.uid === node.uid;
  const giving = to.uid !== undefined && to.uid !== node.uid;
  const regrouping = to.gid !== undefined && to.gid !== node.gid;
  const dated = [to.accessedMs, to.modifiedMs].some((it) => typeof it === 'number');
  if (giving || (regrouping && !(isOwner && belongs(who, to.gid)))) {
    throw new NfsFailure(STATUS.notOwner, 'only root can change the owner of a file');
  }
  if ((to.mode !== undefined || dated) && !isOwner) {
    throw new NfsFailure(STATUS.notOwner, 'this file belongs to another user');
  }
  const touching = to.accessedMs === 'now' || to.modifiedMs === 'now';
  const writes = to.size !== undefined || touching;
  if (writes && !isOwner && (permissions(node, who) & PERMISSION.write) === 0) {
    throw new NfsFailure(STATUS.access, 'no permission to write this file');
  }
}
