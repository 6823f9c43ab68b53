import { BlockError } from '../../../block/block-error.ts';
import { type FileTree, isWritableTree, type WritableFileTree } from '../../../vfs/file-tree.ts';
import { TreeError } from '../../../vfs/tree-error.ts';
import { Unanswered } from '../rpc/failure.ts';

/**
 * A tree that can be taken away while clients use it. Calls under way are waited for. A call that fails because the
 * tree was taken away, or that comes later, rejects Unanswered, which no client sees as an error.
 */
export interface RemovableTree {
  readonly tree: FileTree;
  /** Takes the tree away. Resolves once no call is under way. */
  remove(): Promise<void>;
}

export function removableTree(tree: FileTree): RemovableTree {
  const idle = Promise.withResolvers<void>();
  let running = 0;
  let isOver = false;

  function whileThere<A extends readonly unknown[], R>(
    work: (...all: A) => Promise<R>,
  ): (...all: A) => Promise<R> {
    return async (...all) => {
      if (isOver) throw new Unanswered('the tree was taken away');
      running++;
      try {
        return await work(...all);
      } catch (cause) {
        const isWorlds = cause instanceof TreeError || cause instanceof BlockError;
        throw isOver && isWorlds ? new Unanswered(cause.message, { cause }) : cause;
      } finally {
        running--;
        if (isOver && running === 0) idle.resolve();
      }
    };
  }
  const reading: FileTree = {
    ...tree,
    space: whileThere(() => tree.space()),
    read: whileThere((id, into, offset) => tree.read(id, into, offset)),
  };
  return {
    tree: isWritableTree(tree) ? { ...reading, ...writing(tree, whileThere) } : reading,
    async remove() {
      isOver = true;
      if (running > 0) await idle.promise;
    },
  };
}

type Monitor = <A extends readonly unknown[], R>(
  work: (...all: A) => Promise<R>,
) => (...all: A) => Promise<R>;

function writing(
  tree: WritableFileTree,
  whileThere: Monitor,
): Omit<WritableFileTree, keyof FileTree> {
  return {
    write: whileThere((id, from, offset, how) => tree.write(id, from, offset, how)),
    flush: whileThere((id) => tree.flush(id)),
    change: whileThere((id, to) => tree.change(id, to)),
    make: whileThere((directory, name, what) => tree.make(directory, name, what)),
    remove: whileThere((directory, name, kind) => tree.remove(directory, name, kind)),
    rename: whileThere((from, to) => tree.rename(from, to)),
    link: whileThere((id, to) => tree.link(id, to)),
  };
}
