import { join } from 'node:path/posix';
import { type RangeTurns, rangeTurns } from '../lib/range-lock.ts';
import { openFiles } from '../sys/files/open-files.ts';
import { TreeError } from './tree-error.ts';

/** The contents of a tree's regular files. STALE: the tree no longer has this node, and nothing is created for it. */
export interface Contents extends AsyncDisposable {
  /** Bytes that were never written read as zeros. */
  read(id: number, into: Uint8Array, offset: number): Promise<void>;
  /** `after` runs in the range's turn, once the bytes are there. NO_SPACE, TOO_LARGE. */
  write<T>(id: number, from: Uint8Array, offset: number, after: () => T): Promise<T>;
  sync(id: number): Promise<void>;
  /** `after` runs while no write to the file is under way, once it has that size. */
  resize(id: number, size: number, after: () => void): Promise<void>;
  /** Removes the contents of a node that the tree no longer has. */
  remove(id: number): Promise<void>;
}

/** The storage of contents on the disk: plain-contents.ts, sealed-contents.ts. */
export interface ContentFiles {
  /** Creates the contents of an initial file, durable once resolved; removes what a power cut left of it. */
  make(id: number, contents: Uint8Array): Promise<void>;
  /** Opens the contents of a node of `size` bytes, and creates them if nothing was written yet. Rejects CORRUPT. */
  open(id: number, size: number): Promise<ContentFile>;
  remove(id: number): Promise<void>;
}

export interface ContentFile extends AsyncDisposable {
  read(into: Uint8Array, offset: number): Promise<void>;
  write(from: Uint8Array, offset: number): Promise<void>;
  /** Changes the size; added bytes read as zeros. */
  resize(from: number, to: number): Promise<void>;
  sync(): Promise<void>;
}

export interface ContentsOptions {
  readonly files: ContentFiles;
  /** Undefined: the tree has no such node. */
  readonly sizeOf: (id: number) => number | undefined;
}

/** Names of version 1, and of files beside a node's sealed log. A session's disk never has such a name. */
const NAME = /^(?:file-(\d+)|_file-(\d+)\..*)$/;
const OPEN_FILES_MAX = 64;
/** Far above a hypervisor's swap file, which is as large as its guest's memory. */
export const CONTENT_SIZE_MAX = 2 ** 43;

export function treeContents({ files, sizeOf }: ContentsOptions): Contents {
  const opened = openFiles<number, ContentFile>(
    (id) => files.open(id, sizeNow(id)),
    OPEN_FILES_MAX,
  );
  const turns = new Map<number, RangeTurns>();

  function sizeNow(id: number): number {
    const size = sizeOf(id);
    if (size === undefined) throw new TreeError('STALE', `there is no node ${id}`);
    return size;
  }
  function turnsOf(id: number): RangeTurns {
    let its = turns.get(id);
    if (!its) turns.set(id, (its = rangeTurns()));
    return its;
  }
  function checkSize(size: number): void {
    if (size > CONTENT_SIZE_MAX) throw new TreeError('TOO_LARGE', `a file of ${size} bytes`);
  }
  return {
    async read(id, into, offset) {
      const length = Math.max(0, Math.min(into.length, sizeNow(id) - offset));
      await opened.use(id, (file) => file.read(into.subarray(0, length), offset));
      into.fill(0, length);
    },
    async write(id, from, offset, after) {
      checkSize(offset + from.length);
      sizeNow(id);
      return turnsOf(id).run(offset, from.length, async () => {
        await opened.use(id, (file) => file.write(from, offset));
        return after();
      });
    },
    sync: (id) => opened.use(id, (file) => file.sync()),
    async resize(id, size, after) {
      checkSize(size);
      sizeNow(id);
      await turnsOf(id).run(0, CONTENT_SIZE_MAX, async () => {
        await opened.use(id, (file) => file.resize(sizeNow(id), size));
        after();
      });
    },
    async remove(id) {
      // Runs after writes under way; later ones do not find the node.
      await turnsOf(id).run(0, CONTENT_SIZE_MAX, async () => {
        await opened.forget(id);
        await files.remove(id);
      });
      turns.delete(id);
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** The ID of the node whose contents a file in the directory holds; undefined: it holds none. */
export function contentId(name: string): number | undefined {
  const [, plain, sealed] = NAME.exec(name) ?? [];
  const id = plain ?? sealed;
  return id === undefined ? undefined : Number(id);
}

/** The path of a node's contents in a session without sealed overlays. */
export function plainPath(directory: string, id: number): string {
  return join(directory, `file-${id}`);
}
