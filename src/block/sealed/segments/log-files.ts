import { join } from 'node:path/posix';
import { segmentKey, summaryKey } from '../../../formats/store/sessions/overlay-key.ts';
import {
  decodeHeadFile,
  HEAD_FILE_LENGTH,
  type HeadFile,
} from '../../../formats/store/sessions/overlay-head.ts';
import {
  type OverlayHead,
  PAGE_LENGTH,
  SEGMENT_NUMBER_MAX,
  slotCodec,
  type SlotSealer,
  type Suite,
} from '../../../formats/store/sessions/overlay-log.ts';
import { FormatError } from '../../../formats/format-error.ts';
import type { File, FileSystem } from '../../../sys/files/file-system.ts';
import { readFileAround } from '../../../sys/files/read-around.ts';
import { pageSealer } from '../../../sys/crypto/page-sealer.ts';
import { BlockError } from '../../block-error.ts';
import { codecPool, type MakeCodec } from './codec-pool.ts';

/** The names of an overlay's files, and the codecs that seal them. */
export interface LogFiles {
  readonly files: FileSystem;
  readonly directory: string;
  readonly disk: string;
  readonly head: OverlayHead;
  /** Whether one of its two copies is damaged. */
  readonly isHeadDamaged: boolean;
  /** The disk's number of pages; the last one may be partial. */
  readonly pages: number;
  segmentPath(number: number): string;
  summaryPath(number: number): string;
  /** The numbers of the existing files, ascending. */
  list(): Promise<FoundFiles>;
  /** Makes the codec that seals and opens the slots of one file. */
  readonly codec: MakeCodec;
}

export interface FoundFiles {
  readonly segments: readonly number[];
  readonly summaries: ReadonlySet<number>;
  /** Files that a power cut left while a summary was being written. */
  readonly temporary: readonly string[];
}

export type Sealer = SlotSealer & Disposable;

export interface LogFilesOptions {
  readonly files: FileSystem;
  readonly directory: string;
  /** Names the files: `<disk>.head`, `<disk>.<number>.seg` and `<disk>.<number>.sum`. */
  readonly disk: string;
  readonly session: string;
  readonly key: OverlayKey;
  readonly sealer?: (key: Uint8Array, suite: Suite) => Sealer;
}

export interface OverlayKey {
  /** The suite of the set, regardless of what the files say. */
  readonly suite: Suite;
  readonly overlayKey: Uint8Array;
}

/** The least number of digits. */
const NUMBER_DIGITS = 8;
/** As many as there may be open files. */
const CODECS_MAX = 256;

export function headPath(directory: string, disk: string): string {
  return join(directory, `${disk}.head`);
}

/** Reads the head. Rejects BlockError CORRUPT where it is missing, or belongs to another disk or suite. */
export async function openLogFiles(options: LogFilesOptions, size: number): Promise<LogFiles> {
  const { files, directory, disk, session, key } = options;
  const { head, isDamaged } = await readHead(options, { size, suite: key.suite });
  const pages = Math.ceil(size / PAGE_LENGTH);
  const makeSealer = options.sealer ?? pageSealer;
  return {
    files,
    directory,
    disk,
    head,
    isHeadDamaged: isDamaged,
    pages,
    segmentPath: (number) => join(directory, fileName(disk, number, 'seg')),
    summaryPath: (number) => join(directory, fileName(disk, number, 'sum')),
    list: async () => foundFiles(disk, await files.list(directory)),
    codec: codecPool((file) => {
      const { of } = file;
      const ids = { session, disk, ...head };
      const own =
        of === 'segment'
          ? segmentKey(key.overlayKey, ids, file)
          : summaryKey(key.overlayKey, ids, file);
      const sealer = makeSealer(own, head.suite);
      return Object.assign(slotCodec(sealer, { of, pages }), {
        [Symbol.dispose]: () => sealer[Symbol.dispose](),
      });
    }, CODECS_MAX),
  };
}

export async function readHead(
  { files, directory, disk }: Pick<LogFilesOptions, 'files' | 'directory' | 'disk'>,
  expected: { readonly size: number; readonly suite?: Suite },
): Promise<HeadFile> {
  const path = headPath(directory, disk);
  if (!(await files.stat(path))) {
    throw new BlockError('CORRUPT', `${path} is missing: what was written to the disk is lost`);
  }
  const bytes = await readFileAround(files, path, 2 * HEAD_FILE_LENGTH);
  const found = decoded(path, decodeHeadFile, bytes);
  const { head } = found;
  if (head.size !== expected.size) {
    const what = `belongs to a disk of ${head.size} bytes, not ${expected.size}`;
    throw new BlockError('CORRUPT', `${path} ${what}`);
  }
  checkSuite(path, head.suite, expected.suite);
  return found;
}

/** The set decides: a file cannot claim a weaker suite. */
export function checkSuite(path: string, found: Suite, expected: Suite | undefined): void {
  if (expected === undefined || found === expected) return;
  const names = { 1: 'not encrypted', 2: 'encrypted' } as const;
  throw new BlockError(
    'CORRUPT',
    `${path} is ${names[found]}, but the backup set is ${names[expected]}`,
  );
}

/** Turns a decoding failure into CORRUPT with the path of the file. */
function decoded<T>(path: string, decode: (bytes: Uint8Array) => T, bytes: Uint8Array): T {
  try {
    return decode(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new BlockError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
}

function fileName(disk: string, number: number, ending: 'seg' | 'sum'): string {
  return `${disk}.${String(number).padStart(NUMBER_DIGITS, '0')}.${ending}`;
}

function foundFiles(disk: string, names: readonly string[]): FoundFiles {
  const segments: number[] = [];
  const summaries = new Set<number>();
  const temporary: string[] = [];
  for (const name of names) {
    const digits = /^\.(\d{8,10})\./.exec(name.slice(disk.length))?.[1];
    if (!digits || !name.startsWith(disk)) continue;
    const number = Number(digits);
    if (number > SEGMENT_NUMBER_MAX) continue;
    if (name === fileName(disk, number, 'seg')) segments.push(number);
    else if (name === fileName(disk, number, 'sum')) summaries.add(number);
    else if (name === `${fileName(disk, number, 'sum')}.tmp`) temporary.push(name);
  }
  // Names are sorted as text, where nine digits may come before eight.
  return { segments: segments.sort((a, b) => a - b), summaries, temporary };
}

/** Holds the part of the map that exceeds its memory; gone with this process. */
export async function scratchFile(
  { files, directory }: Pick<LogFiles, 'files' | 'directory'>,
  name: string,
): Promise<File> {
  const path = join(directory, name);
  if (await files.stat(path)) await files.unlink(path);
  const file = await files.create(path);
  await files.unlink(path);
  return file;
}
