import type { FileTree, TreeNode } from '../../vfs/file-tree.ts';
import { TreeError } from '../../vfs/tree-error.ts';
import type { Reply } from './reply.ts';

/** One request. Its memory is lent until the handler returns. */
export interface Call {
  readonly node: number;
  /** The bytes after the request's header. */
  readonly bytes: Uint8Array;
  /** The same memory, followed by zeros up to the full length of its kind of request. */
  readonly body: DataView;
}

/** The state from which requests are answered. */
export interface FuseServed {
  readonly tree: FileTree;
  /** Whether no other request waits. */
  isLast(): boolean;
}

/** Answers, at once or later; an error thrown before that is the answer too. */
export type FuseHandler = (served: FuseServed, call: Call, reply: Reply) => void;

/** Throws STALE if the node no longer exists. */
export function nodeOf({ tree }: FuseServed, id: number): TreeNode {
  const node = tree.node(id);
  if (node) return node;
  throw new TreeError('STALE', 'this file no longer exists');
}
