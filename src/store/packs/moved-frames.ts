import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import { decodeMoved, encodeMoved, MOVED_LENGTH_MAX } from '../../formats/store/packs/moved.ts';
import type { Location } from '../../formats/store/packs/node.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { listPacks, movedPath } from './pack-path.ts';
import type { Place } from './trust.ts';

/**
 * Where frames went that their pack no longer gives: `NNNNNNNN.moved` beside the pack. Asked only when a read has
 * failed, so that each question may look at the disk: another process may have written the file just now.
 */
export interface MovedFiles {
  /** One step; undefined: it did not move, or the file is damaged. */
  next(place: Place): Promise<Location | undefined>;
  /** What is wrong with the files. */
  problems(): Promise<readonly { readonly where: string; readonly what: string }[]>;
}

type Frames = ReadonlyMap<number, Location>;

interface Kept {
  readonly size: number;
  readonly modifiedMs: number;
  readonly frames: Frames;
}

/** Files kept; a lost pack has some 1,000 frames, at some 100 bytes each. */
const KEPT_MAX = 64;
const NONE: Frames = new Map();

export function movedFiles(files: FileSystem, directory: string): MovedFiles {
  const kept = new Map<number, Kept>();

  async function of(pack: number): Promise<Frames> {
    try {
      const status = await files.stat(movedPath(directory, pack));
      if (!status) return NONE;
      const { size, modifiedMs } = status;
      const known = kept.get(pack);
      if (known?.size === size && known.modifiedMs === modifiedMs) return known.frames;
      const frames = await readMoved(files, directory, pack);
      kept.delete(pack);
      kept.set(pack, { size, modifiedMs, frames });
      const [oldest] = kept.keys();
      if (kept.size > KEPT_MAX) kept.delete(oldest!);
      return frames;
    } catch (cause) {
      // The caller has a failed read in hand already, and reports that one.
      if (cause instanceof SystemError || cause instanceof FormatError) return NONE;
      throw cause;
    }
  }
  return {
    next: async ({ pack, offset }) => (await of(pack)).get(offset),
    async problems() {
      const found: { readonly where: string; readonly what: string }[] = [];
      for (const pack of await listPacks(files, directory, 'moved')) {
        try {
          await readMoved(files, directory, pack);
        } catch (cause) {
          if (!(cause instanceof FormatError)) throw cause;
          found.push({ where: movedPath(directory, pack), what: cause.message });
        }
      }
      return found;
    },
  };
}

/** Throws FormatError where the file is damaged. */
export async function readMoved(
  files: FileSystem,
  directory: string,
  pack: number,
): Promise<Frames> {
  const path = movedPath(directory, pack);
  if (!(await files.stat(path))) return NONE;
  try {
    return decodeMoved(await files.readFile(path, MOVED_LENGTH_MAX), pack).frames;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError(cause.code, `${path}: ${cause.message}`, { cause });
  }
}

/** Adds to what is written of `pack` already. For the one writer; durable once it resolves. */
export async function addMoved(
  files: FileSystem,
  directory: string,
  pack: number,
  moves: Frames,
): Promise<void> {
  const path = movedPath(directory, pack);
  const group = join(path, '..');
  if (!(await files.stat(group))) {
    await files.makeDirectory(group);
    await files.syncDirectory(directory);
  }
  let before: Frames = NONE;
  try {
    before = await readMoved(files, directory, pack);
  } catch (cause) {
    // What it said is found out again by the reads that miss it.
    if (!(cause instanceof FormatError)) throw cause;
  }
  const frames = new Map([...before, ...moves]);
  await putDurably(files, path, encodeMoved(pack, { frames }), 'shared');
}

/** Steps from pack to pack: more than a frame is ever stored again, and an end to a circle. */
const STEPS_MAX = 8;

/** The places that a frame may be at: `first`, if there is one, and then each that the one before moved to. */
export async function* placesOf(
  moved: MovedFiles,
  first: Location | undefined,
): AsyncGenerator<Location> {
  let place: Location | undefined = first;
  for (let step = 0; place && step <= STEPS_MAX; step++) {
    yield place;
    place = await moved.next(place);
  }
}
