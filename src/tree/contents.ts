import { join } from 'node:path/posix';
import type { SpaceGuard } from '../block/space-guard.ts';
import { type RangeTurns, rangeTurns } from '../lib/range-turns.ts';
import type { File, FileSystem } from '../sys/file-system.ts';
import { openFiles } from '../sys/open-files.ts';
import { TreeError } from './tree-error.ts';

/**
 * What regular files of a tree hold: a file `file-ID` for each, made when it is first used. STALE: the tree has
 * no such node any more, and nothing is made for it.
 */
export interface Contents extends AsyncDisposable {
  /** What was never written reads as zeros. */
  read(id: number, into: Uint8Array, offset: number): Promise<void>;
  /** `after` runs in the range's turn, once the bytes are there. NO_SPACE, TOO_LARGE. */
  write<T>(id: number, from: Uint8Array, offset: number, after: () => T): Promise<T>;
  sync(id: number): Promise<void>;
  /** `after` runs while nobody writes the file, once it has that size. */
  resize(id: number, size: number, after: () => void): Promise<void>;
  /** Of a node that the tree has no more. */
  remove(id: number): Promise<void>;
  /**
   * Takes away what was never acknowledged: bytes beyond a node's size, and contents without a node, which get
   * another name. Should the log have lost the node, they are still there, until the session is removed.
   */
  settle(): Promise<void>;
}

export interface ContentsOptions {
  readonly files: FileSystem;
  readonly directory: string;
  readonly space: SpaceGuard;
  /** Undefined: the tree has no such node. */
  readonly sizeOf: (id: number) => number | undefined;
}

const NAME = /^file-(\d+)$/;
const OPEN_FILES_MAX = 64;
/** A hypervisor's swap file is as large as its guest's memory; this is far beyond. */
const SIZE_MAX = 2 ** 43;

export function treeContents({ files, directory, space, sizeOf }: ContentsOptions): Contents {
  const opened = openFiles<number>(open, OPEN_FILES_MAX);
  const turns = new Map<number, RangeTurns>();

  async function open(id: number): Promise<File> {
    const path = contentPath(directory, id);
    checkNode(id);
    // A removal waits for what is being opened: nothing is made behind it.
    if (await files.stat(path)) return files.open(path, 'write');
    const file = await files.create(path);
    await files.syncDirectory(directory);
    return file;
  }
  function checkNode(id: number): void {
    if (sizeOf(id) === undefined) throw new TreeError('STALE', `there is no node ${id}`);
  }
  function turnsOf(id: number): RangeTurns {
    let its = turns.get(id);
    if (!its) turns.set(id, (its = rangeTurns()));
    return its;
  }
  function checkSize(size: number): void {
    if (size > SIZE_MAX) throw new TreeError('TOO_LARGE', `a file of ${size} bytes`);
  }
  return {
    async read(id, into, offset) {
      const length = await opened.use(id, (file) => file.read(into, offset));
      into.fill(0, length);
    },
    async write(id, from, offset, after) {
      checkSize(offset + from.length);
      if (!space.tryTake(from.length)) await space.take(from.length);
      checkNode(id);
      return turnsOf(id).run(offset, from.length, async () => {
        await opened.use(id, (file) => file.write(from, offset));
        return after();
      });
    },
    sync: (id) => opened.use(id, (file) => file.sync()),
    async resize(id, size, after) {
      checkSize(size);
      checkNode(id);
      await turnsOf(id).run(0, SIZE_MAX, async () => {
        await opened.use(id, (file) => file.truncate(size));
        after();
      });
    },
    async remove(id) {
      // After writes that are under way; those behind find no node.
      await turnsOf(id).run(0, SIZE_MAX, async () => {
        await opened.forget(id);
        const path = contentPath(directory, id);
        if (await files.stat(path)) await files.unlink(path);
      });
      turns.delete(id);
    },
    async settle() {
      for (const name of await files.list(directory)) {
        const id = contentId(name);
        if (id === undefined) continue;
        const path = join(directory, name);
        const size = sizeOf(id);
        if (size === undefined) {
          await files.rename(path, `${path}.lost`);
        } else if ((await files.stat(path))!.size > size) {
          await using file = await files.open(path, 'write');
          await file.truncate(size);
        }
      }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** The id of the node whose contents a file in the directory holds; undefined: it holds none. */
export function contentId(name: string): number | undefined {
  const id = NAME.exec(name)?.[1];
  return id === undefined ? undefined : Number(id);
}

export function contentPath(directory: string, id: number): string {
  return join(directory, `file-${id}`);
}
