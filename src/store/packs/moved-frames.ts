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
 * New places of frames that their pack has lost: `NNNNNNNN.moved` beside the pack. `next` is called only after a
 * failed read, so that each call may look at the disk: another process may just have written the file.
 */
export interface MovedFrames {
  /** One step; undefined: the frame did not move, or the record is damaged. */
  next(place: Place): Promise<Location | undefined>;
  /** The same from memory, without a look at the disk: where the frame was when `next` was asked about its pack. */
  remembered(place: Place): Location | undefined;
  /** Packs with moved frames, ascending. */
  list(): Promise<number[]>;
  /** New places of a pack's frames, by their old offsets. Rejects FormatError if the record is damaged. */
  of(pack: number): Promise<Frames>;
  /** Adds moves of frames of `pack`. Only for the one writer; durable once it resolves. */
  add(pack: number, moves: Frames): Promise<void>;
  /** Removes the record of a pack of which no frame is needed. Only for the process that holds the store's lock. */
  remove(pack: number): Promise<void>;
  /** The path of the record, for people. */
  path(pack: number): string;
  /** Damaged records. */
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
      // The caller already has a failed read, and reports that one.
      if (cause instanceof SystemError || cause instanceof FormatError) return NONE;
      throw cause;
    }
  }
  return {
    next: async ({ pack, offset }) => (await known(pack)).get(offset),
    remembered: ({ pack, offset }) => kept.get(pack)?.frames.get(offset),
    list: () => listPacks(files, directory, 'moved'),
    of: (pack) => readMoved(files, directory, pack),
    add: (pack, moves) => addMoved(files, directory, pack, moves),
    remove: (pack) => files.unlink(movedPath(directory, pack)),
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

/** Rejects FormatError if the file is damaged. */
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
    // Reads that miss its contents will find them out again.
    if (!(cause instanceof FormatError)) throw cause;
  }
  const frames = new Map([...before, ...moves]);
  await putDurably(files, path, encodeMoved(pack, { frames }), 'shared');
}

/** The most steps from pack to pack: more often than a frame is ever stored again, and a bound for circles. */
const STEPS_MAX = 8;

/** The possible places of a frame: `first`, if there is one, then each place to which the one before moved. */
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
