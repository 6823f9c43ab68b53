import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import type { Location } from '../formats/store/node.ts';
import {
  decodePackEntries,
  decodePackHeader,
  decodePackTrailer,
  PACK_ENTRY_LENGTH,
  PACK_HEADER_LENGTH,
  PACK_TRAILER_LENGTH,
  type PackEntry,
  type PackHeader,
} from '../formats/store/pack.ts';
import type { File, FileSystem } from '../sys/file-system.ts';
import { openFiles } from '../sys/open-files.ts';
import { SystemError } from '../sys/system-error.ts';
import { digestKey } from '../formats/store/digest.ts';
import { StoreError } from './store-error.ts';

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
  /** Size, header and footer of a sealed pack, checked. */
  footer(pack: number): Promise<PackFooter>;
  /**
   * Where a frame is now, for hints that a compaction made stale: from a table of all footers, made
   * on the first call (some 150 bytes for each frame in the store).
   */
  locate(digest: Uint8Array): Promise<Location | undefined>;
}

export interface PackFooter {
  readonly size: number;
  readonly header: PackHeader;
  readonly entries: readonly PackEntry[];
}

/** Packs kept open: far below the usual limit of 1,024 descriptors of a process. */
const OPEN_FILES_MAX = 64;
/** Directories of 1,000 packs. */
const PER_DIRECTORY = 1000;
const SEALED = /^(\d{8})\.pack$/;

export function packPath(directory: string, pack: number): string {
  const group = String(Math.floor(pack / PER_DIRECTORY)).padStart(5, '0');
  return join(directory, group, `${String(pack).padStart(8, '0')}.pack`);
}

/** `directory`: the store's `packs`. */
export function packFiles(files: FileSystem, directory: string): PackFiles {
  const handles = openFiles<number>(openPack, OPEN_FILES_MAX);
  let table: Promise<Map<string, Location>> | undefined;

  async function openPack(pack: number): Promise<File> {
    try {
      return await files.open(packPath(directory, pack), 'read');
    } catch (cause) {
      const missing = cause instanceof SystemError && cause.code === 'NOT_FOUND';
      throw new StoreError(missing ? 'MISSING' : 'IO', `pack ${pack} cannot be opened`, { cause });
    }
  }
  async function list(): Promise<number[]> {
    const found: number[] = [];
    for (const group of await files.list(directory)) {
      for (const name of await files.list(join(directory, group))) {
        const match = SEALED.exec(name);
        if (match) found.push(Number(match[1]));
      }
    }
    return found.sort((a, b) => a - b);
  }
  async function makeTable(): Promise<Map<string, Location>> {
    const found = new Map<string, Location>();
    for (const pack of await list()) {
      for (const { digest, offset, length } of (await footer(pack)).entries) {
        found.set(digestKey(digest), { pack, offset, length });
      }
    }
    return found;
  }
  function footer(pack: number): Promise<PackFooter> {
    return handles.use(pack, readFooter);
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
    list,
    footer,
    async locate(digest) {
      table ??= makeTable();
      return (await table).get(digestKey(digest));
    },
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

async function bytesOf(file: File, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const got = await file.read(bytes, offset);
  if (got < length) throw new FormatError('TRUNCATED', `${file.path} ends after ${offset + got}`);
  return bytes;
}
