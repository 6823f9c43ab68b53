import { basename, dirname, join } from 'node:path/posix';
import type { Reference } from '../../formats/store/packs/node.ts';
import { decodeWanted, encodeWanted, type Wanted } from '../../formats/store/packs/wanted.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';

export type WantedFrame = Pick<Reference, 'pack' | 'offset' | 'digest'>;

/** Frames that a read found missing or damaged: files in `wanted/`, see wanted.md. */
export interface WantedMarks {
  /** Never rejects for the disk: if it cannot be written there is no mark, and the next read tries again. */
  add(frame: WantedFrame): Promise<void>;
  list(): Promise<Wanted[]>;
  /** Never rejects for the disk: if it cannot be written the mark stays. */
  remove(mark: Wanted): Promise<void>;
}

/** Beyond this a whole pack is marked: a writer reads all marks at its start, and keeps them in memory. */
const MARKS_MAX = 65_536;

/** `directory`: the store's `wanted`. */
export function wantedMarks(files: FileSystem, directory: string): WantedMarks {
  /** How many marks may be made before they are counted again. */
  let room = 0;
  const wholePacks = new Set<number>();

  async function make(mark: Wanted): Promise<void> {
    try {
      await using _file = await files.create(join(directory, encodeWanted(mark)), 'shared');
    } catch (cause) {
      if (!(cause instanceof SystemError) || cause.code !== 'EXISTS') throw cause;
    }
  }
  async function names(): Promise<string[]> {
    return (await files.stat(directory)) ? files.list(directory) : [];
  }
  return {
    async add({ pack, offset, digest }) {
      try {
        // If the store was unmounted its directory is empty, and nothing may be created there.
        if (!(await files.stat(join(directory, '../packs')))) return;
        if (wholePacks.has(pack)) return;
        if (room === 0) {
          if ((await files.links(dirname(directory))).includes(basename(directory))) return;
          await files.makeDirectory(directory);
          room = Math.max(0, MARKS_MAX - (await names()).length);
        }
        if (room > 0) {
          room--;
          await make({ pack, frame: { offset, digest } });
        } else {
          await make({ pack });
          wholePacks.add(pack);
        }
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
      }
    },
    async list() {
      return (await names()).flatMap((name) => decodeWanted(name) ?? []);
    },
    async remove(mark) {
      try {
        await files.unlink(join(directory, encodeWanted(mark)));
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
      }
    },
  };
}
