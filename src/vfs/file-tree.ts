import type { Durability, Effort, Extent, WritableBlockDevice } from '../block/block-device.ts';

/**
 * Files by node, as NFS and FUSE show them. Node IDs are stable, even over restarts, and never reused. Nodes and
 * names are kept in memory, so that looking them up never waits.
 */
export interface FileTree extends AsyncDisposable {
  readonly root: number;
  /** Undefined: the node no longer exists. */
  node(id: number): TreeNode | undefined;
  /** Undefined: no such name. NOT_DIRECTORY, STALE. */
  lookup(directory: number, name: string): number | undefined;
  parent(directory: number): number;
  /** Entries whose cookie is above `after`, by cookie; an entry keeps its cookie. NOT_DIRECTORY, STALE. */
  list(directory: number, after: number): Iterable<TreeEntry>;
  readLink(id: number): string;
  /** As `BlockDevice.tryRead`; the range lies within the node's size. */
  tryRead(id: number, into: Uint8Array, offset: number, effort: Effort): boolean;
  /** As `BlockDevice.read`; the range lies within the node's size. */
  read(id: number, into: Uint8Array, offset: number): Promise<void>;
  space(): Promise<TreeSpace>;
  /**
   * Default: all names of a directory are known. Otherwise names may be missing from `lookup` and `list` until this
   * resolves; undefined: they are all there.
   */
  complete?(directory: number): Promise<void> | undefined;
  /** As `BlockDevice.extents`. Default: all data. */
  extents?(id: number, offset: number, length: number): Promise<readonly Extent[]>;
  /**
   * A client opens a file, and closes it as often: what is open can be read even after its name has gone. Undefined:
   * it is open. Default: what is open is not known.
   */
  open?(id: number): Promise<void> | undefined;
  close?(id: number): void;
  /** The disk behind a file that can be written although names are fixed. Default: there is none. */
  disk?(id: number): WritableBlockDevice | undefined;
}

/** Rejects with TreeError, or the error of a disk's device. Names and attributes are durable once resolved. */
export interface WritableFileTree extends FileTree {
  /**
   * `from` is lent. A disk has a fixed size; a file grows. Resolves to the node as it was just before the change:
   * clients compare that with their cache.
   */
  write(id: number, from: Uint8Array, offset: number, durability: Durability): Promise<TreeNode>;
  /** Earlier writes survive a power cut once this resolves. */
  flush(id: number): Promise<void>;
  change(id: number, to: NodeChanges): Promise<void>;
  /** EXISTS, unless `exclusive` matches the call that created it. */
  make(directory: number, name: string, what: NewNode): Promise<number>;
  remove(directory: number, name: string, kind: 'directory' | 'other'): Promise<void>;
  rename(from: Place, to: Place): Promise<void>;
  link(id: number, to: Place): Promise<void>;
}

export interface TreeNode {
  readonly id: number;
  readonly kind: 'directory' | 'file' | 'symlink';
  /** Permissions, twelve bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly accessedMs: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
}

export interface TreeEntry {
  readonly name: string;
  readonly id: number;
  /** Above 2. */
  readonly cookie: number;
}

export interface Place {
  readonly directory: number;
  readonly name: string;
}

export interface NodeChanges {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly size?: number | undefined;
  readonly accessedMs?: number | 'now' | undefined;
  readonly modifiedMs?: number | 'now' | undefined;
}

export interface NewNode {
  readonly kind: 'directory' | 'file' | 'symlink';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The target of a symbolic link. */
  readonly target?: string;
  /** The verifier of the call that created a file: the same call again succeeds (RFC 1813, 3.3.8 EXCLUSIVE). */
  readonly exclusive?: string;
}

export interface TreeSpace {
  readonly totalBytes: number;
  /** Bytes that may still be written, including to disks' overlays; without the reserve. */
  readonly freeBytes: number;
}

export function isWritableTree(tree: FileTree): tree is WritableFileTree {
  return 'write' in tree;
}
