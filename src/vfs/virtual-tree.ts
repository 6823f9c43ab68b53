import { keyedHash } from '../formats/store/base/digest.ts';
import { utf8 } from '../lib/bytes.ts';
import type { TreeEntry, TreeNode } from './file-tree.ts';

/**
 * The names that a tree of recovery points shows, in memory. A node's ID is derived from its path: so it stays the
 * same whatever else changes, and over restarts.
 */
export interface VirtualTree<Source> {
  get(id: number): VirtualNode<Source> | undefined;
  /** Adds a directory and returns its ID. An existing one stays unchanged. */
  directory(path: string, at: VirtualTimes): number;
  file(path: string, at: VirtualTimes & VirtualFile<Source>): number;
  /** Adds a symbolic link, or changes the target of an existing one. */
  relink(path: string, target: string, at: VirtualTimes): number;
  /** Finds a node by its path. */
  find(path: string): number | undefined;
  entry(directory: number, name: string): number | undefined;
  /** Entries in the order of cookies. */
  entries(directory: number): readonly TreeEntry[] | undefined;
}

export interface VirtualNode<Source> {
  readonly path: string;
  readonly parent: number;
  readonly node: TreeNode;
  /** The source of a file. */
  readonly source: Source | undefined;
  /** The target of a symbolic link. */
  readonly target: string | undefined;
}

export interface VirtualTimes {
  readonly createdMs: number;
}

export interface VirtualFile<Source> {
  readonly size: number;
  readonly mode: number;
  readonly source: Source;
}

export const VIRTUAL_ROOT = 1;
const FIRST_ID = 3;
const DIRECTORY_SIZE = 4096;
const DIRECTORY_MODE = 0o555;
const LINK_MODE = 0o777;

interface Children {
  readonly byName: Map<string, number>;
  sorted: readonly TreeEntry[] | undefined;
}

/** Paths begin with a slash; the root is there from the start. */
export function newVirtualTree<Source>(rootMs: number): VirtualTree<Source> {
  const nodes = new Map<number, VirtualNode<Source>>();
  const children = new Map<number, Children>();
  nodes.set(VIRTUAL_ROOT, {
    ...{ path: '', parent: VIRTUAL_ROOT, source: undefined, target: undefined },
    node: nodeOf(VIRTUAL_ROOT, {
      kind: 'directory',
      mode: DIRECTORY_MODE,
      size: 0,
      createdMs: rootMs,
    }),
  });
  children.set(VIRTUAL_ROOT, { byName: new Map(), sorted: undefined });

  function add(
    path: string,
    what: NodeShape,
    rest: Pick<VirtualNode<Source>, 'source' | 'target'>,
  ): number {
    const cut = path.lastIndexOf('/');
    const parent = directory(path.slice(0, cut), what);
    const siblings = children.get(parent)!;
    const name = path.slice(cut + 1);
    const known = siblings.byName.get(name);
    if (known !== undefined) return known;
    let id = idOf(path);
    while (nodes.has(id)) id = Math.max(FIRST_ID, (id + 1) % 2 ** 31);
    nodes.set(id, { path, parent, node: nodeOf(id, what), ...rest });
    siblings.byName.set(name, id);
    siblings.sorted = undefined;
    return id;
  }
  function directory(path: string, { createdMs }: VirtualTimes): number {
    if (path === '') return VIRTUAL_ROOT;
    const what = {
      kind: 'directory',
      mode: DIRECTORY_MODE,
      size: DIRECTORY_SIZE,
      createdMs,
    } as const;
    const id = add(path, what, { source: undefined, target: undefined });
    if (!children.has(id)) children.set(id, { byName: new Map(), sorted: undefined });
    return id;
  }
  return {
    get: (id) => nodes.get(id),
    directory,
    file: (path, { size, mode, createdMs, source }) =>
      add(path, { kind: 'file', mode, size, createdMs }, { source, target: undefined }),
    relink(path, target, { createdMs }) {
      const what = { kind: 'symlink', mode: LINK_MODE, size: target.length, createdMs } as const;
      const id = add(path, what, { source: undefined, target });
      nodes.set(id, { ...nodes.get(id)!, node: nodeOf(id, what), target });
      return id;
    },
    find(path) {
      let id: number | undefined = VIRTUAL_ROOT;
      for (const name of path.split('/').slice(1)) id = children.get(id ?? 0)?.byName.get(name);
      return id;
    },
    entry: (id, name) => children.get(id)?.byName.get(name),
    entries(id) {
      const its = children.get(id);
      if (!its) return undefined;
      // The ID also serves as the cookie: it is above those of "." and "..".
      its.sorted ??= [...its.byName]
        .map(([name, child]) => ({ name, id: child, cookie: child }))
        .sort((a, b) => a.cookie - b.cookie);
      return its.sorted;
    },
  };
}

interface NodeShape extends VirtualTimes {
  readonly kind: TreeNode['kind'];
  readonly mode: number;
  readonly size: number;
}

function nodeOf(id: number, { kind, mode, size, createdMs }: NodeShape): TreeNode {
  return {
    ...{ id, kind, mode, size, uid: 0, gid: 0, links: kind === 'directory' ? 2 : 1 },
    ...{ accessedMs: createdMs, modifiedMs: createdMs, changedMs: createdMs },
  };
}

function idOf(path: string): number {
  const digest = keyedHash(new Uint8Array(0), utf8(path));
  const number = new DataView(digest.buffer, digest.byteOffset, 4).getUint32(0) >>> 1;
  return Math.max(FIRST_ID, number);
}
