import { join } from 'node:path/posix';
import type { SpaceGuard } from '../block/space-guard.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { type ContentFiles, contentId, plainPath } from './contents.ts';
import { TreeError } from './tree-error.ts';

export interface PlainOptions {
  readonly files: FileSystem;
  readonly directory: string;
  readonly space: SpaceGuard;
}

/** A file `file-ID` for each node, in stores that have no sealed overlays yet. */
export function plainContents({ files, directory, space }: PlainOptions): ContentFiles {
  async function openOrMake(id: number, size: number) {
    const path = plainPath(directory, id);
    if (await files.stat(path)) return files.open(path, 'write');
    if (size > 0)
      throw new TreeError('CORRUPT', `${path} is missing: what was written to it is lost`);
    const file = await files.create(path);
    await files.syncDirectory(directory);
    return file;
  }
  async function remove(id: number): Promise<void> {
    const path = plainPath(directory, id);
    if (await files.stat(path)) await files.unlink(path);
  }
  return {
    remove,
    async make(id, contents) {
      await remove(id);
      await using file = await files.create(plainPath(directory, id));
      await file.write(contents, 0);
      await file.sync();
    },
    async open(id, size) {
      const file = await openOrMake(id, size);
      return {
        async read(into, offset) {
          const length = await file.read(into, offset);
          into.fill(0, length);
        },
        async write(from, offset) {
          if (!space.tryTake(from.length)) await space.take(from.length);
          await file.write(from, offset);
        },
        resize: (_from, to) => file.truncate(to),
        sync: () => file.sync(),
        [Symbol.asyncDispose]: async () => file[Symbol.asyncDispose](),
      };
    },
  };
}

/**
 * Removes what was never acknowledged: bytes beyond a node's size; contents without a node get another name. If the
 * log has lost the node, they are still there until the session is removed.
 */
export async function settlePlainContents(
  { files, directory }: Pick<PlainOptions, 'files' | 'directory'>,
  sizeOf: (id: number) => number | undefined,
): Promise<void> {
  for (const name of await files.list(directory)) {
    const id = contentId(name);
    const path = join(directory, name);
    if (id === undefined || path !== plainPath(directory, id)) continue;
    const size = sizeOf(id);
    if (size === undefined) {
      await files.rename(path, `${path}.lost`);
    } else if ((await files.stat(path))!.size > size) {
      await using file = await files.open(path, 'write');
      await file.truncate(size);
    }
  }
}
