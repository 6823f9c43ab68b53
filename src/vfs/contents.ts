import { join } from 'node:path/posix';
import { type RangeTurns, rangeTurns } from '../lib/range-lock.ts';
import { openFiles } from '../sys/files/open-files.ts';
import { TreeError } from './tree-error.ts';

/** What regular files of a tree hold. STALE: the tree has no such node any more, and nothing is made for it. */
export interface Contents extends AsyncDisposable {
  /** What was never written reads as zeros. */
  read(id: number, into: Uint8Array, offset: number): Promise<void>;
  /** `after` runs in the range's turn, once the bytes are there. NO_SPACE, TOO_LARGE. */
  write<T>(id: number, from: Uint8Array, offset: number, after: () => T): Promise<T>;
  sync(id: number): Promise<void>;
  /** `after` runs while no write to the file is under way, once it has that size. */
  resize(id: number, size: number, after: () => void): Promise<void>;
  /** For a node that the tree no longer has. */
  remove(id: number): Promise<void>;
}

/** How contents lie on the disk: plain-contents.ts, sealed-contents.ts. */
export interface ContentFiles {
  /** Makes what a first file of a tree holds, durable once resolved; what a power cut has left of it goes. */
  make(id: number, contents: Uint8Array): Promise<void>;
  /** Opens what a node of `size` bytes holds, and makes it where nothing was written yet. Rejects CORRUPT. */
  open(id: number, size: number): Promise<ContentFile>;
  remove(id: number): Promise<void>;
}

export interface ContentFile extends AsyncDisposable {
  read(into: Uint8Array, offset: number): Promise<void>;
  write(from: Uint8Array, offset: number): Promise<void>;
  /** From one size to another; what it gains reads as zeros. */
  resize(from: number, to: number): Promise<void>;
  sync(): Promise<void>;
}

export interface ContentsOptions {
  readonly files: ContentFiles;
  /** Undefined: the tree has no such node. */
  readonly sizeOf: (id: number) => number | undefined;
}

/** Version 1, and what lies beside a node's sealed log. No disk of a session is called so. */
const NAME = /^(?:file-(\d+)|_file-(\d+)\..*)$/;
const OPEN_FILES_MAX = 64;
/** A hypervisor's swap file is as large as its guest's memory; this is far beyond. */
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
      // After writes that are under way; those behind find no node.
      await turnsOf(id).run(0, CONTENT_SIZE_MAX, async () => {
        await opened.forget(id);
        await files.remove(id);
      });
      turns.delete(id);
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** The id of the node whose contents a file in the directory holds; undefined: it holds none. */
export function contentId(name: string): number | undefined {
  const [, plain, sealed] = NAME.exec(name) ?? [];
  const id = plain ?? sealed;
  return id === undefined ? undefined : Number(id);
}

/** What a node holds in a session without sealed overlays. */
export function plainPath(directory: string, id: number): string {
  return join(directory, `file-${id}`);
}
