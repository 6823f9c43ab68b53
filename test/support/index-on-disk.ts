import { mkdirSync, rmSync } from 'node:fs';
import type { FileSystem } from '../../src/sys/files/file-system.ts';

/** Directories of this index are made and removed on the real disk, too, where LevelDB keeps it. */
export function withIndex(files: FileSystem, index: string): FileSystem {
  return {
    ...files,
    async makeDirectory(path) {
      await files.makeDirectory(path);
      if (path.startsWith(index)) mkdirSync(path, { recursive: true });
    },
    async removeTree(path) {
      await files.removeTree(path);
      if (path.startsWith(index)) rmSync(path, { recursive: true, force: true });
    },
  };
}
