import type { FileTree } from '../../../vfs/file-tree.ts';
import type { NfsAccess } from './access.ts';

/** A tree as clients know it, whether it is there or away. */
export interface Known {
  /** Below `/holdfast`: `NAME`, or `points/NAME`. */
  readonly name: string;
  /** As they are now: a host may enter by any of them, and the first that lets it in counts. */
  readonly access: readonly NfsAccess[];
  /** With the node's id they make its file id and its handle: unique, and the same for ever. */
  readonly tag: number;
  readonly generation: number;
}

export interface Served extends Known {
  readonly tree: FileTree;
  /** Verifier of writes: a new one tells clients that what was not committed may be lost (RFC 1813, 3.3.7). */
  readonly verifier: Uint8Array;
}

/** A tree that was there and will be again. Who looks for it gets no answer, and asks again. */
export interface Away extends Known {
  /** A client has looked for it. */
  readonly onAsked: () => void;
}

/** A node of some tree; `served` undefined: a directory of the export itself. */
export interface Found {
  readonly served: Served | undefined;
  readonly id: number;
  /** Undefined: in the export itself, which cannot be changed. */
  readonly rule: NfsAccess | undefined;
}

export interface Entry {
  readonly name: string;
  readonly cookie: number;
  readonly found: Found;
}
