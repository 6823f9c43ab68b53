import { basename, dirname, join } from 'node:path/posix';
import type { Reference } from '../../formats/store/packs/node.ts';
import {
  decodeHurt,
  decodeWanted,
  encodeHurt,
  encodeWanted,
  HURT_LENGTH_MAX,
  type HurtPlace,
  type Wanted,
} from '../../formats/store/packs/wanted.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';

export type WantedFrame = Pick<Reference, 'pack' | 'offset' | 'digest'>;

/** Frames that a read found missing or damaged: files in `wanted/`, see wanted.md. */
export interface WantedMarks {
  /** Never rejects for the disk: if it cannot be written there is no mark, and the next read tries again. */
  add(frame: WantedFrame, hurt?: HurtPlace): Promise<void>;
  list(): Promise<Wanted[]>;
  /** Disks whose readers made some of the marks. */
  hurt(): Promise<HurtPlace[]>;
  /** Never rejects for the disk: if it cannot be written the mark stays. */
  remove(mark: Wanted): Promise<void>;
}

/** Beyond this a whole pack is marked: a writer reads all marks at its start, and keeps them in memory. */
const MARKS_MAX = 65_536;
/** Marks that are looked into for disks that they hit: an alarm lists a few. */
const LOOKED_INTO_MAX = 256;

/** `directory`: the store's `wanted`. */
export function wantedMarks(files: FileSystem, directory: string): WantedMarks {
  /** How many marks may be made before they are counted again. */
  let room = 0;
  const wholePacks = new Set<number>();

  async function make(mark: Wanted, hurt?: HurtPlace): Promise<void> {
    try {
      await using file = await files.create(join(directory, encodeWanted(mark)), 'shared');
      if (hurt) await file.write(encodeHurt(hurt), 0);
    } catch (cause) {
      if (!(cause instanceof SystemError) || cause.code !== 'EXISTS') throw cause;
    }
  }
  async function names(): Promise<string[]> {
    return (await files.stat(directory)) ? files.list(directory) : [];
  }
  async function hurtBy(path: string): Promise<HurtPlace | undefined> {
    try {
      return decodeHurt(await files.readFile(path, HURT_LENGTH_MAX));
    } catch (cause) {
      // It may have been removed in the meantime.
      if (!(cause instanceof SystemError)) throw cause;
      return undefined;
    }
  }
  return {
    async add({ pack, offset, digest }, hurt) {
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
          await make({ pack, frame: { offset, digest } }, hurt);
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
    async hurt() {
      const found = new Map<string, HurtPlace>();
      const marks = (await names()).filter((name) => decodeWanted(name));
      for (const name of marks.slice(0, LOOKED_INTO_MAX)) {
        const place = await hurtBy(join(directory, name));
        if (place) found.set(Object.values(place).join('/'), place);
      }
      return [...found.values()];
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
