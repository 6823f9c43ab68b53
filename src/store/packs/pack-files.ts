import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import {
  decodePackEntries,
  decodePackHeader,
  decodePackTrailer,
  PACK_ENTRY_LENGTH,
  PACK_HEADER_LENGTH,
  PACK_TRAILER_LENGTH,
  type PackEntry,
  type PackHeader,
} from '../../formats/store/packs/pack.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { openFiles } from '../../sys/files/open-files.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { walkFrames } from './frame-walk.ts';
import { type MovedFiles, movedFiles } from './moved-frames.ts';
import { listPacks, packPath } from './pack-path.ts';
import { StoreError } from './store-error.ts';
import { type WantedFrame, type WantedMarks, wantedMarks } from './wanted-marks.ts';

/** The sealed packs of a store, for reading. Sealed packs never change. */
export interface PackFiles extends AsyncDisposable {
  /** Fills `into` from a pack. MISSING, CORRUPT (too short), IO. */
  read(into: Uint8Array, pack: number, offset: number): Promise<void>;
  /** As `read`, blocking this thread; false: the pack is not open yet, and is being opened. */
  tryRead(into: Uint8Array, pack: number, offset: number): boolean;
  /** As `read`, blocking this thread but for the opening of a pack: for worker threads. */
  readBlocking(into: Uint8Array, pack: number, offset: number): Promise<void>;
  /** These bytes will be read in pieces, soon: see `File.willNeed`. */
  willNeed(pack: number, offset: number, length: number): void;
  path(pack: number): string;
  /** Numbers of the sealed packs, ascending. */
  list(): Promise<number[]>;
  /** Size, header and footer of a sealed pack, checked. FormatError, naming the file. */
  footer(pack: number): Promise<PackFooter>;
  /** What is in a sealed pack: from its footer or, where that is damaged, from frame to frame. */
  contents(pack: number): Promise<PackContents>;
  /** Where frames went that a pack no longer gives. */
  readonly moved: MovedFiles;
  /** Marks of frames that are missing or damaged. */
  readonly wanted: WantedMarks;
  /** Notes that a frame is missing or damaged where it ought to be. Never rejects for the disk. */
  want(frame: WantedFrame): Promise<void>;
}

export interface PackContents {
  readonly size: number;
  /** Undefined: it is damaged. */
  readonly header: PackHeader | undefined;
  readonly entries: readonly PackEntry[];
  /** What is wrong with header or footer; undefined: nothing. */
  readonly damage: string | undefined;
}

export interface PackFooter {
  readonly size: number;
  readonly header: PackHeader;
  readonly entries: readonly PackEntry[];
}

/** Packs kept open: far below the usual limit of 1,024 descriptors of a process. */
const OPEN_FILES_MAX = 64;

/** `directory`: the store's `packs`. */
export function packFiles(files: FileSystem, directory: string): PackFiles {
  const handles = openFiles<number>(openPack, OPEN_FILES_MAX);
  const moved = movedFiles(files, directory);
  const wanted = wantedMarks(files, join(directory, '../wanted'));

  async function openPack(pack: number): Promise<File> {
    try {
      return await files.open(packPath(directory, pack), 'read');
    } catch (cause) {
      const missing = cause instanceof SystemError && cause.code === 'NOT_FOUND';
      throw new StoreError(missing ? 'MISSING' : 'IO', `pack ${pack} cannot be opened`, { cause });
    }
  }
  async function footer(pack: number): Promise<PackFooter> {
    try {
      return await handles.use(pack, readFooter);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      const message = `${packPath(directory, pack)}: ${cause.message}`;
      throw new FormatError(cause.code, message, { cause });
    }
  }
  function whole(count: number, into: Uint8Array, pack: number, offset: number): void {
    if (count === into.length) return;
    throw new StoreError('CORRUPT', `pack ${pack} ends before ${offset}+${into.length}`);
  }
  return {
    read: (into, pack, offset) =>
      handles.use(pack, async (file) => whole(await file.read(into, offset), into, pack, offset)),
    tryRead(into, pack, offset) {
      const file = handles.opened(pack);
      if (file) whole(file.readNow(into, offset), into, pack, offset);
      // Next time it will be; whoever reads it otherwise meets the failure.
      else handles.use(pack, async () => {}).catch(() => {});
      return file !== undefined;
    },
    readBlocking: (into, pack, offset) =>
      handles.use(pack, async (file) => whole(file.readNow(into, offset), into, pack, offset)),
    willNeed(pack, offset, length) {
      // Whoever reads it meets the failure.
      handles.use(pack, async (file) => file.willNeed(offset, length)).catch(() => {});
    },
    path: (pack) => packPath(directory, pack),
    list: () => listPacks(files, directory, 'pack'),
    footer,
    async contents(pack) {
      try {
        return { ...(await footer(pack)), damage: undefined };
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
        const damage = cause.message;
        return handles.use(pack, async (file) => {
          const { entries } = await walkFrames(file, 'end');
          return { size: await file.size(), header: await readHeader(file), entries, damage };
        });
      }
    },
    moved,
    wanted,
    want: (frame) => wanted.add(frame),
    [Symbol.asyncDispose]: () => handles[Symbol.asyncDispose](),
  };
}

/** Throws FormatError where it is damaged. */
export async function readFooter(file: File): Promise<PackFooter> {
  const size = await file.size();
  const header = decodePackHeader(await bytesOf(file, 0, PACK_HEADER_LENGTH));
  const end = await bytesOf(file, Math.max(0, size - PACK_TRAILER_LENGTH), PACK_TRAILER_LENGTH);
  const trailer = decodePackTrailer(end, size);
  const length = trailer.count * PACK_ENTRY_LENGTH;
  const entries = decodePackEntries(await bytesOf(file, trailer.footerOffset, length), trailer);
  return { size, header, entries };
}

async function readHeader(file: File): Promise<PackHeader | undefined> {
  try {
    return decodePackHeader(await bytesOf(file, 0, PACK_HEADER_LENGTH));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}

async function bytesOf(file: File, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const got = await file.read(bytes, offset);
  if (got < length) throw new FormatError('TRUNCATED', `${file.path} ends after ${offset + got}`);
  return bytes;
}
