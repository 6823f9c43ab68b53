import { basename, dirname, join } from 'node:path/posix';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';

/*
 * A file that is written for hours gets its name once it is whole. Until then it lies beside it as
 * `.NAME.XXXXXXXX.part`, and its writer holds its first byte: a part that no process holds was left by a killed one.
 */

/** Disposing removes it unless it was published. */
export interface PartFile extends AsyncDisposable {
  readonly file: File;
  /** Syncs it and gives it its name, durably, replacing any file of that name. */
  publish(): Promise<void>;
}

/** The longest name in Linux, in bytes. */
const NAME_MAX = 255;
const MARK = 0;
const ENDING = /^[0-9a-f]{8}\.part$/;
const ENDING_LENGTH = '.00000000.part'.length;

/** Creates it readable only by its owner. Removes parts of `path` that killed processes left. */
export async function openPartFile({ files, random }: World, path: string): Promise<PartFile> {
  const directory = dirname(path);
  const stem = `.${cut(basename(path), NAME_MAX - 1 - ENDING_LENGTH)}.`;
  await removeLeftovers(files, directory, stem);
  const tail = Buffer.from(random.bytes(4)).toString('hex');
  const place = join(directory, `${stem}${tail}.part`);
  const file = await files.create(place);
  file.holdByte(MARK);
  let isPublished = false;
  return {
    file,
    async publish() {
      await files.rename(place, path);
      isPublished = true;
      await files.syncDirectory(directory);
    },
    async [Symbol.asyncDispose]() {
      await using _file = file;
      if (!isPublished && (await files.stat(place))) await files.unlink(place);
    },
  };
}

/** Its first bytes, without a partial character. */
function cut(name: string, length: number): string {
  const bytes = Buffer.from(name);
  if (bytes.length <= length) return name;
  let end = length;
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

async function removeLeftovers(files: FileSystem, directory: string, stem: string): Promise<void> {
  const isPart = (it: string): boolean => it.startsWith(stem) && ENDING.test(it.slice(stem.length));
  for (const name of (await namesIn(files, directory)).filter(isPart)) {
    const place = join(directory, name);
    if ((await files.stat(place))?.kind !== 'file') continue;
    const isHeld = await isHeldElsewhere(files, place);
    if (!isHeld) await files.unlink(place);
  }
}

/** A user who may write to a directory may not always list it. */
async function namesIn(files: FileSystem, directory: string): Promise<readonly string[]> {
  try {
    return await files.list(directory);
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'DENIED') return [];
    throw cause;
  }
}

/** Also true for another user's file, in a directory to which all may write: it is not ours to remove. */
async function isHeldElsewhere(files: FileSystem, place: string): Promise<boolean> {
  try {
    await using file = await files.open(place, 'read');
    return file.isByteHeld(MARK) === true;
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'DENIED') return true;
    throw cause;
  }
}
