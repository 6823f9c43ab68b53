import {
  ATTR_REPLY_LENGTH,
  ENTRY_LENGTH,
  FILE_TYPES,
  type FuseAttributes,
  writeAttrReply,
  writeEntry,
} from '../../formats/wire/fuse.ts';
import type { TreeNode } from '../../vfs/file-tree.ts';
import type { Reply } from './reply.ts';

/** How long the kernel may cache attributes: recovery points are added and removed. */
export const VALID_S = 1;

export function attributesOf(node: TreeNode): FuseAttributes {
  return { ...node, node: node.id, mode: FILE_TYPES[node.kind] | node.mode };
}

export function sendAttributes(reply: Reply, node: TreeNode): void {
  writeAttrReply(reply.view(ATTR_REPLY_LENGTH), attributesOf(node), VALID_S);
  reply.send(ATTR_REPLY_LENGTH);
}

export function sendEntry(reply: Reply, node: TreeNode): void {
  writeEntry(reply.view(ENTRY_LENGTH), 0, attributesOf(node), VALID_S);
  reply.send(ENTRY_LENGTH);
}
