import type { FileAttributes } from '../../../formats/wire/nfs3.ts';
import { STATUS } from '../../../formats/wire/nfs3.ts';
import type { XdrReader, XdrWriter } from '../../../formats/wire/xdr.ts';
import { NAME_LENGTH_MAX } from '../../../formats/wire/nfs3.ts';
import type { Peer } from '../../../sys/net/network.ts';
import type { TreeNode } from '../../../vfs/file-tree.ts';
import { TreeError } from '../../../vfs/tree-error.ts';
import { type Identity, isAllowed, squashed } from './access.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { knownTrees } from './export-table.ts';
import { ownDirectories, ruleFor, unanswered } from './root-tree.ts';
import { type FileHandle, readHandle, writeHandle } from './handles.ts';
import type { Known, Served, Away, Found, Entry } from './export-entry.ts';

/*
 * The one export (export-path.ts): a directory with a directory for each tree, and `/holdfast/points` with a
 * directory for each tree that is called `points/NAME`. A host mounts it once and finds there what it may see.
 */

export interface Exports {
  /** Throws TreeError EXISTS if the name or the tag is taken. */
  add(served: Served): void;
  /** `away` takes its place. */
  remove(served: Served, away: Away | undefined): void;
  /** Announces a tree. Has no effect if the tree is there. */
  expect(away: Away): void;
  /** Returns the tree if it was expected. */
  forget(name: string): Known | undefined;
  readonly root: Found;
  /** Whether the peer may see anything at all. */
  admits(peer: Peer): boolean;
  /** The networks by which the peer may see something. */
  networks(peer: Peer): readonly string[];
  /** Reads a handle. Throws NfsFailure (STALE, BADHANDLE, ACCES), Unanswered. */
  read(reader: XdrReader, peer: Peer): Found;
  write(writer: XdrWriter, found: Found): void;
  node(found: Found): TreeNode;
  /** Throws Unanswered. */
  lookup(directory: Found, name: string, peer: Peer): Found | undefined;
  /** The entries, with "." and "..". */
  list(directory: Found, after: number, peer: Peer): Iterable<Entry>;
  identity(found: Found, caller: Identity): Identity;
}

const OWN_TAG = 0;

export function nfsExports(nowMs: () => number): Exports {
  const served = knownTrees<Served>();
  const away = knownTrees<Away>();
  const own = ownDirectories({ served, away, nowMs });

  function node({ served: it, id }: Found): TreeNode {
    if (!it) return own.node(id);
    const found = it.tree.node(id);
    if (found) return found;
    throw new NfsFailure(STATUS.stale, 'the file no longer exists');
  }
  function remain(known: Known): void {
    away.drop(known.name);
    served.drop(known.name);
    own.changed();
  }
  function parent({ served: it, id, rule }: Found): Found {
    if (!it || id === it.tree.root) return own.above(it);
    return { served: it, id: it.tree.parent(id), rule };
  }
  return {
    root: own.root,
    add(it) {
      if (served.tagged(it.tag) || it.tag === OWN_TAG || served.named(it.name)) {
        throw new TreeError('EXISTS', `the name or tag of "${it.name}" is taken by another export`);
      }
      remain(it);
      served.put(it);
    },
    remove(it, instead) {
      remain(it);
      if (instead) away.put(instead);
    },
    expect(it) {
      if (!served.named(it.name)) away.put(it);
    },
    forget: (name) => away.drop(name),
    admits: (peer) =>
      [...served.byTag(), ...away.byTag()].some((it) => ruleFor(it, peer) !== undefined),
    networks(peer) {
      const rules = served.byTag().flatMap(({ access }) => access);
      return rules.flatMap((rule) => (isAllowed(rule, peer) ? rule.allow.names : []));
    },
    read(reader, peer) {
      const handle = readHandle(reader);
      const found = handle?.tag === OWN_TAG ? own.byId(handle.id) : undefined;
      if (found) return found;
      if (!handle || handle.tag === OWN_TAG) {
        throw new NfsFailure(STATUS.badHandle, 'not a handle of this server');
      }
      const { tag, generation, id } = handle;
      const it = served.tagged(tag);
      const known = it ?? away.tagged(tag);
      if (known?.generation !== generation) {
        throw new NfsFailure(STATUS.stale, 'the session of this file has ended');
      }
      const rule = ruleFor(known, peer);
      if (!rule) {
        throw new NfsFailure(STATUS.access, `${peer.address} has no access to ${known.name}`);
      }
      return it ? { served: it, id, rule } : unanswered(away.tagged(tag)!);
    },
    write(writer, { served: it, id }) {
      const { tag, generation } = it ?? { tag: OWN_TAG, generation: 0 };
      writeHandle(writer, { tag, generation, id } satisfies FileHandle);
    },
    node,
    lookup(directory, name, peer) {
      checkLookup(node(directory), name);
      if (name === '.') return directory;
      if (name === '..') return parent(directory);
      const { served: it, rule } = directory;
      if (!it) return own.lookup(directory, name, peer);
      const id = it.tree.lookup(directory.id, name);
      return id === undefined ? undefined : { served: it, id, rule };
    },
    *list(directory, after, peer) {
      const { served: it, id, rule } = directory;
      if (after < 1) yield { name: '.', cookie: 1, found: directory };
      if (after < 2) yield { name: '..', cookie: 2, found: parent(directory) };
      if (!it) {
        yield* own.list(directory, after, peer);
        return;
      }
      for (const entry of it.tree.list(id, after)) {
        const { name, cookie } = entry;
        yield { name, cookie, found: { served: it, id: entry.id, rule } };
      }
    },
    identity: ({ rule }, caller) => (rule ? squashed(rule, caller) : caller),
  };
}

function checkLookup({ kind }: TreeNode, name: string): void {
  if (kind !== 'directory') throw new NfsFailure(STATUS.notDirectory, 'this is not a directory');
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
    fileIdHigh: served?.tag ?? OWN_TAG,
    fileIdLow: node.id,
    accessedMs: node.accessedMs,
    modifiedMs: node.modifiedMs,
    changedMs: node.changedMs,
  };
}
