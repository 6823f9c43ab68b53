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
 * Where frames went that their pack no longer gives: `NNNNNNNN.moved` beside the pack. `next` is called only when a
 * read has failed, so that each call may look at the disk: another process may have written the file just now.
 */
export interface MovedFrames {
  /** One step; undefined: it did not move, or what says so is damaged. */
  next(place: Place): Promise<Location | undefined>;
  /** Packs of which something moved, ascending. */
  list(): Promise<number[]>;
  /** Where the frames of a pack went, by their old offsets. Rejects FormatError where that is damaged. */
  of(pack: number): Promise<Frames>;
  /** Adds to what is known of `pack`. For the one writer; durable once it resolves. */
  add(pack: number, moves: Frames): Promise<void>;
  /** Where that is written, for people. */
  path(pack: number): string;
  /** What is damaged. */
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

/** `directory`: the store's `packs`. */
export function movedFiles(files: FileSystem, directory: string): MovedFrames {
  const kept = new Map<number, Kept>();

  async function known(pack: number): Promise<Frames> {
    try {
      const status = await files.stat(movedPath(directory, pack));
      if (!status) return NONE;
      const { size, modifiedMs } = status;
      const before = kept.get(pack);
      if (before?.size === size && before.modifiedMs === modifiedMs) return before.frames;
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
    next: async ({ pack, offset }) => (await known(pack)).get(offset),
    list: () => listPacks(files, directory, 'moved'),
    of: (pack) => readMoved(files, directory, pack),
    add: (pack, moves) => addMoved(files, directory, pack, moves),
    path: (pack) => movedPath(directory, pack),
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
async function readMoved(files: FileSystem, directory: string, pack: number): Promise<Frames> {
  const path = movedPath(directory, pack);
  if (!(await files.stat(path))) return NONE;
  try {
    return decodeMoved(await files.readFile(path, MOVED_LENGTH_MAX), pack).frames;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError(cause.code, `${path}: ${cause.message}`, { cause });
  }
}

async function addMoved(
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
  moved: Pick<MovedFrames, 'next'>,
  first: Location | undefined,
): AsyncGenerator<Location> {
  let place: Location | undefined = first;
  for (let step = 0; place && step <= STEPS_MAX; step++) {
    yield place;
    place = await moved.next(place);
  }
}
