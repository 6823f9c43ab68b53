import { dirname } from 'node:path/posix';
import { referenceListLengthMax } from '../../formats/store/packs/reference-list.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { referencesPath } from './pack-path.ts';

/** `NNNNNNNN.refs` beside each pack of nodes: what the nodes refer to, readable without any key. */
export interface ReferenceLists {
  /** The list of a sealed pack of nodes, for `visitReferences`; undefined: it has none. */
  of(pack: number, count: number): Promise<Uint8Array | undefined>;
  /** Only for the one writer; durable once it resolves. `list`: from `encodeReferenceList`. */
  write(pack: number, list: Uint8Array): Promise<void>;
  /** The path of the list, for people. */
  path(pack: number): string;
}

/** `directory`: the store's `packs`. */
export function referenceFiles(files: FileSystem, directory: string): ReferenceLists {
  return {
    async of(pack, count) {
      // A pack of nodes that a crash left open was sealed as an empty one, and may have its former list.
      if (count === 0) return undefined;
      const path = referencesPath(directory, pack);
      if (!(await files.stat(path))) return undefined;
      return files.readFile(path, referenceListLengthMax(count));
    },
    async write(pack, list) {
      const path = referencesPath(directory, pack);
      const group = dirname(path);
      if (!(await files.stat(group))) await files.makeDirectory(group);
      await putDurably(files, path, list, 'shared');
    },
    path: (pack) => referencesPath(directory, pack),
  };
}
