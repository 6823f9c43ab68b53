import type { FileAttributes } from '../../formats/wire/nfs3.ts';
import { STATUS } from '../../formats/wire/nfs3.ts';
import type { XdrReader, XdrWriter } from '../../formats/wire/xdr.ts';
import { NAME_LENGTH_MAX } from '../../formats/wire/nfs3.ts';
import type { Peer } from '../../sys/network.ts';
import type { FileTree, TreeNode } from '../../tree/file-tree.ts';
import { TreeError } from '../../tree/tree-error.ts';
import { type Identity, isAllowed, type NfsAccess, squashed } from './access.ts';
import { NfsFailure } from './failure.ts';
import { type FileHandle, readHandle, writeHandle } from './handles.ts';

/*
 * The one export, `/holdfast`: a directory with one directory for each tree. A host mounts it once and finds in
 * it what it may see.
 */
export const EXPORT_PATH = '/holdfast';

export interface Served {
  readonly name: string;
  readonly tree: FileTree;
  readonly access: NfsAccess;
  /** With the node's id they make its file id and its handle: unique, and the same for ever. */
  readonly tag: number;
  readonly generation: number;
}

/** A node of some tree; `served` undefined: the export's own directory. */
export interface Found {
  readonly served: Served | undefined;
  readonly id: number;
}

export interface Exports {
  /** Throws TreeError EXISTS where its name or its tag is taken. */
  add(served: Served): void;
  remove(served: Served): void;
  readonly all: ReadonlyMap<string, Served>;
  /** Whether the peer may see anything at all. */
  admits(peer: Peer): boolean;
  /** The handle that the reader stands at. Throws NfsFailure (STALE, BADHANDLE, ACCES). */
  read(reader: XdrReader, peer: Peer): Found;
  write(writer: XdrWriter, found: Found): void;
  node(found: Found): TreeNode;
  lookup(directory: Found, name: string, peer: Peer): Found | undefined;
  /** With "." and "..". */
  list(directory: Found, after: number, peer: Peer): Iterable<Entry>;
  identity(found: Found, caller: Identity): Identity;
}

export interface Entry {
  readonly name: string;
  readonly cookie: number;
  readonly found: Found;
}

const ROOT_TAG = 0;
const ROOT_ID = 1;
const ROOT: Found = { served: undefined, id: ROOT_ID };
const FIRST_COOKIE = 3;

export function nfsExports(nowMs: () => number): Exports {
  const byName = new Map<string, Served>();
  const byTag = new Map<number, Served>();
  const cookies = new Map<Served, number>();
  let nextCookie = FIRST_COOKIE;
  let changedMs = nowMs();

  function rootNode(): TreeNode {
    return {
      ...{ id: ROOT_ID, kind: 'directory', mode: 0o555, uid: 0, gid: 0, size: 4096 },
      ...{ links: 2 + byName.size, accessedMs: changedMs, modifiedMs: changedMs, changedMs },
    };
  }
  function node({ served, id }: Found): TreeNode {
    if (!served) return rootNode();
    const it = served.tree.node(id);
    if (it) return it;
    throw new NfsFailure(STATUS.stale, 'the file is no more');
  }
  function visible(served: Served | undefined, peer: Peer): served is Served {
    return served !== undefined && isAllowed(served.access, peer);
  }
  function* listRoot(after: number, peer: Peer): Generator<Entry> {
    for (const served of byName.values()) {
      const cookie = cookies.get(served)!;
      if (cookie <= after || !visible(served, peer)) continue;
      yield { name: served.name, cookie, found: { served, id: served.tree.root } };
    }
  }
  function parent({ served, id }: Found): Found {
    if (!served || id === served.tree.root) return ROOT;
    return { served, id: served.tree.parent(id) };
  }
  return {
    all: byName,
    add(served) {
      if (byTag.has(served.tag) || served.tag === ROOT_TAG || byName.has(served.name)) {
        throw new TreeError('EXISTS', `another export is too much like "${served.name}"`);
      }
      byName.set(served.name, served);
      byTag.set(served.tag, served);
      cookies.set(served, nextCookie++);
      changedMs = nowMs();
    },
    remove(served) {
      byName.delete(served.name);
      byTag.delete(served.tag);
      cookies.delete(served);
      changedMs = nowMs();
    },
    admits: (peer) => [...byName.values()].some((served) => visible(served, peer)),
    read(reader, peer) {
      const handle = readHandle(reader);
      if (!handle) throw new NfsFailure(STATUS.badHandle, 'no handle of ours');
      if (handle.tag === ROOT_TAG) {
        if (handle.id === ROOT_ID) return ROOT;
        throw new NfsFailure(STATUS.badHandle, 'no handle of ours');
      }
      const served = byTag.get(handle.tag);
      if (served?.generation !== handle.generation) {
        throw new NfsFailure(STATUS.stale, 'its session has ended');
      }
      if (!isAllowed(served.access, peer)) {
        throw new NfsFailure(STATUS.access, `${peer.address} has no access to ${served.name}`);
      }
      return { served, id: handle.id };
    },
    write(writer, { served, id }) {
      const { tag, generation } = served ?? { tag: ROOT_TAG, generation: 0 };
      writeHandle(writer, { tag, generation, id } satisfies FileHandle);
    },
    node,
    lookup(directory, name, peer) {
      checkLookup(node(directory), name);
      if (name === '.') return directory;
      if (name === '..') return parent(directory);
      if (!directory.served) {
        const served = byName.get(name);
        return visible(served, peer) ? { served, id: served.tree.root } : undefined;
      }
      const id = directory.served.tree.lookup(directory.id, name);
      return id === undefined ? undefined : { served: directory.served, id };
    },
    *list(directory, after, peer) {
      const { served, id } = directory;
      if (after < 1) yield { name: '.', cookie: 1, found: directory };
      if (after < 2) yield { name: '..', cookie: 2, found: parent(directory) };
      if (!served) {
        yield* listRoot(after, peer);
        return;
      }
      for (const it of served.tree.list(id, after)) {
        yield { name: it.name, cookie: it.cookie, found: { served, id: it.id } };
      }
    },
    identity: ({ served }, caller) => (served ? squashed(served.access, caller) : caller),
  };
}

function checkLookup({ kind }: TreeNode, name: string): void {
  if (kind !== 'directory') throw new NfsFailure(STATUS.notDirectory, 'that is no directory');
  if (Buffer.byteLength(name) > NAME_LENGTH_MAX) {
    throw new NfsFailure(STATUS.nameTooLong, 'the name is too long');
  }
}

export function attributesOf({ served }: Found, node: TreeNode): FileAttributes {
  return {
    type: node.kind,
    mode: node.mode,
    links: node.links,
    uid: node.uid,
    gid: node.gid,
    size: node.size,
    used: node.size,
    fileIdHigh: served?.tag ?? ROOT_TAG,
    fileIdLow: node.id,
    accessedMs: node.accessedMs,
    modifiedMs: node.modifiedMs,
    changedMs: node.changedMs,
  };
}
