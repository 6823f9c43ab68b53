import type { FileNode, FilesChange } from '../formats/store/sessions/files-log.ts';
import type { TreeEntry } from './file-tree.ts';
import { TreeError } from './tree-error.ts';

/*
 * Names and nodes in memory, made of changes: replaying all changes gives the state. namespace-steps.ts works out the
 * changes of an operation; applying them in the same tick avoids races.
 */
export interface Namespace {
  readonly nodes: ReadonlyMap<number, FileNode>;
  /** STALE. */
  node(id: number): FileNode;
  /** Entries in the order of the cookies. NOT_DIRECTORY, STALE. */
  directory(id: number): ReadonlyMap<string, TreeEntry>;
  parent(directory: number): number;
  isWithin(directory: number, ancestor: number): boolean;
  /** A number that was never used before, as an ID or as a cookie. NO_SPACE. */
  number(): number;
  apply(changes: readonly FilesChange[]): void;
  /** Changes that lead from nothing to this state. */
  whole(): FilesChange[];
}

export const ROOT = 1;
/** An ID must fit in 32 bits beside its tree's own 32. */
const ID_END = 2 ** 32;
/** The cookies of "." and ".." are 1 and 2. */
const FIRST_NUMBER = 3;

export function namespace(): Namespace {
  const nodes = new Map<number, FileNode>();
  const directories = new Map<number, Map<string, TreeEntry>>();
  const parents = new Map<number, number>();
  let next = FIRST_NUMBER;

  function node(id: number): FileNode {
    const found = nodes.get(id);
    if (!found) throw new TreeError('STALE', `there is no node ${id}`);
    return found;
  }
  function directory(id: number): Map<string, TreeEntry> {
    const found = directories.get(id);
    if (found) return found;
    throw new TreeError('NOT_DIRECTORY', `node ${node(id).id} is not a directory`);
  }
  function used(number: number): void {
    next = Math.max(next, number + 1);
  }
  function happen(change: FilesChange): void {
    switch (change.op) {
      case 'put':
        nodes.set(change.node.id, change.node);
        if (change.node.kind === 'directory' && !directories.has(change.node.id)) {
          directories.set(change.node.id, new Map());
        }
        return used(change.node.id);
      case 'drop':
        nodes.delete(change.id);
        directories.delete(change.id);
        parents.delete(change.id);
        return;
      case 'enter': {
        const { id, name, cookie } = change;
        const entries = directory(change.directory);
        // Added after all others, whose cookies are smaller.
        entries.delete(name);
        entries.set(name, { name, id, cookie });
        if (directories.has(id)) parents.set(id, change.directory);
        return used(cookie);
      }
      case 'leave':
        directory(change.directory).delete(change.name);
        return;
      case 'next':
        next = Math.max(next, change.id);
    }
  }
  return {
    nodes,
    node,
    directory,
    parent: (id) => parents.get(id) ?? ROOT,
    isWithin(id, ancestor) {
      for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
        if (at === ancestor) return true;
      }
      return false;
    },
    number() {
      if (next >= ID_END) throw new TreeError('NO_SPACE', 'all IDs of this tree are used');
      return next++;
    },
    apply(changes) {
      for (const change of changes) happen(change);
    },
    whole() {
      const changes: FilesChange[] = [{ op: 'next', id: next }];
      for (const it of nodes.values()) changes.push({ op: 'put', node: it });
      for (const [id, entries] of directories) {
        for (const it of entries.values()) changes.push({ op: 'enter', directory: id, ...it });
      }
      return changes;
    },
  };
}
