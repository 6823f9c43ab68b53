import type { FileTree } from '../../../vfs/file-tree.ts';
import type { NfsAccess } from './access.ts';

/** A tree as clients know it, whether it is there or away. */
export interface Known {
  /** Below `/holdfast`: `NAME`, or `points/NAME`. */
  readonly name: string;
  /** Applied at each call. A host may use any of these entries; the first that admits it counts. */
  readonly access: readonly NfsAccess[];
  /** Tag, generation and node ID make up the file ID and the handle: unique, and the same for ever. */
  readonly tag: number;
  readonly generation: number;
}

export interface Served extends Known {
  readonly tree: FileTree;
  /** Verifier of writes: a new one informs clients that uncommitted data may be lost (RFC 1813, 3.3.7). */
  readonly verifier: Uint8Array;
}

/** A tree that was there and will be there again. Calls for it stay unanswered, and clients repeat them. */
export interface Away extends Known {
  /** Called when a client has asked for it. */
  readonly onAsked: () => void;
}

/** A node of a tree. `served` undefined: a directory of the export itself. */
export interface Found {
  readonly served: Served | undefined;
  readonly id: number;
  /** Undefined: the node is in the export itself, which cannot be changed. */
  readonly rule: NfsAccess | undefined;
}

export interface Entry {
  readonly name: string;
  readonly cookie: number;
  readonly found: Found;
}
