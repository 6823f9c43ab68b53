import type { Durability, Effort, Extent, WritableBlockDevice } from '../block/block-device.ts';

/**
 * Files by node, as NFS and FUSE show them. Node ids are stable, also over restarts, and never used
 * again. What is known of nodes and names is in memory, so that asking for it never waits.
 */
export interface FileTree extends AsyncDisposable {
  readonly root: number;
  /** Undefined: there is none any more. */
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
   * Left out: whatever a directory has is known. Otherwise names may be missing from `lookup` and `list`
   * until this resolves; undefined: they are all there.
   */
  complete?(directory: number): Promise<void> | undefined;
  /** As `BlockDevice.extents`. Left out: all data. */
  extents?(id: number, offset: number, length: number): Promise<readonly Extent[]>;
  /** The disk behind a file that can be written though names stay. Left out: there is none. */
  disk?(id: number): WritableBlockDevice | undefined;
}

/** Rejects with TreeError, or with what a disk's device rejects. Names and attributes are durable once resolved. */
export interface WritableFileTree extends FileTree {
  /**
   * `from` is lent. A disk has its size for good; a file grows. Resolves to the node as it was just before
   * this changed it: clients compare that with what they remember.
   */
  write(id: number, from: Uint8Array, offset: number, durability: Durability): Promise<TreeNode>;
  /** What was written before survives a power cut once this resolves. */
  flush(id: number): Promise<void>;
  change(id: number, to: NodeChanges): Promise<void>;
  /** EXISTS, unless `exclusive` names the call that made it. */
  make(directory: number, name: string, what: NewNode): Promise<number>;
  remove(directory: number, name: string, kind: 'directory' | 'other'): Promise<void>;
  rename(from: Place, to: Place): Promise<void>;
  link(id: number, to: Place): Promise<void>;
}

export interface TreeNode {
  readonly id: number;
  readonly kind: 'directory' | 'file' | 'symlink';
  /** Twelve bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** Since 1970. */
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
  /** Of a symlink. */
  readonly target?: string;
  /** Of a file: whoever makes it again with the same word made it (RFC 1813, 3.3.8 EXCLUSIVE). */
  readonly exclusive?: string;
}

export interface TreeSpace {
  readonly totalBytes: number;
  /** What may still be written, disks' overlays and all: what is kept in reserve is not counted. */
  readonly freeBytes: number;
}

export function isWritableTree(tree: FileTree): tree is WritableFileTree {
  return 'write' in tree;
}
