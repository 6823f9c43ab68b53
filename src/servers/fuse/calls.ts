import type { FileTree, TreeNode } from '../../vfs/file-tree.ts';
import { TreeError } from '../../vfs/tree-error.ts';
import type { Reply } from './reply.ts';

/** One request. Its memory is lent until the handler returns. */
export interface Call {
  readonly node: number;
  /** What follows the request's header. */
  readonly bytes: Uint8Array;
  /** The same memory and zeros behind it: as long as each request of its kind should be. */
  readonly body: DataView;
}

/** What requests are answered from. */
export interface FuseServed {
  readonly tree: FileTree;
  /** Whether nothing else waits to be answered. */
  isLast(): boolean;
}

/** Answers, at once or later; what it throws before it answers is the answer too. */
export type FuseHandler = (served: FuseServed, call: Call, reply: Reply) => void;

/** STALE where there is none any more. */
export function nodeOf({ tree }: FuseServed, id: number): TreeNode {
  const node = tree.node(id);
  if (node) return node;
  throw new TreeError('STALE', 'that file is no more');
}
