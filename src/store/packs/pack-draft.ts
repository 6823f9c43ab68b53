import { dirname, join } from 'node:path/posix';
import { assert } from '../../lib/assert.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import { FormatError } from '../../formats/format-error.ts';
import {
  encodePackFooter,
  encodePackHeader,
  PACK_HEADER_LENGTH,
  type PackEntry,
  type PackHeader,
} from '../../formats/store/packs/pack.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { walkFrames } from './frame-walk.ts';
import { makeGroup } from './pack-builder.ts';
import { readFooter } from './pack-contents.ts';
import { DRAFT, draftPath, isGroup, packPath } from './pack-path.ts';
import type { PackDraft } from './pack-store.ts';

/** `header.number`: the number that it will probably get. `whenNamed` is awaited once it has one. */
export async function packDraft(
  files: FileSystem,
  directory: string,
  header: PackHeader,
  whenNamed: (number: number) => Promise<void>,
): Promise<PackDraft> {
  const path = draftPath(directory, header.number);
  await makeGroup(files, path);
  const file = await files.create(path);
  await file.write(encodePackHeader(header), 0);
  const entries: PackEntry[] = [];
  let size = PACK_HEADER_LENGTH;
  let isOpen = true;
  let isNamed = false;

  async function close(): Promise<void> {
    if (isOpen) await file[Symbol.asyncDispose]();
    isOpen = false;
  }
  return {
    entries,
    get size() {
      return size;
    },
    async append(frame, digest) {
      const offset = size;
      await file.write(frame, offset);
      entries.push({ digest: Uint8Array.from(digest), offset, length: frame.length });
      size += frame.length;
      return offset;
    },
    async finish() {
      await file.write(encodePackFooter(entries, size), size);
      await file.sync();
      await checkWritten(file, entries);
    },
    async name(number) {
      const sealed = packPath(directory, number);
      if (dirname(sealed) !== dirname(path)) return false;
      assert(!(await files.stat(sealed)), `${sealed} exists`);
      if (number !== header.number) {
        await file.write(encodePackHeader({ ...header, number }), 0);
        await file.sync();
      }
      const { header: written } = await readFooter(file);
      assert(written.number === number, `${path} says that it is pack ${written.number}`);
      await close();
      await files.rename(path, sealed);
      isNamed = true;
      await files.syncDirectory(dirname(sealed));
      await whenNamed(number);
      return true;
    },
    async [Symbol.asyncDispose]() {
      await close();
      if (!isNamed && (await files.stat(path))) await files.unlink(path);
    },
  };
}

/** Throws FormatError if a frame cannot be read back. */
async function checkWritten(file: File, entries: readonly PackEntry[]): Promise<void> {
  const { entries: found } = await walkFrames(file, 'first-damage');
  for (const [at, { digest, offset, length }] of entries.entries()) {
    const one = found[at];
    const isSame =
      one?.offset === offset &&
      one.length === length &&
      digestKey(one.digest) === digestKey(digest);
    if (!isSame)
      throw new FormatError('CORRUPT', `${file.path}: no frame was written at ${offset}`);
  }
}

/** Removes drafts that a killed process left. `directory`: the store's `packs`. */
export async function removeDrafts(files: FileSystem, directory: string): Promise<void> {
  for (const group of (await files.list(directory)).filter(isGroup)) {
    const path = join(directory, group, DRAFT);
    if (await files.stat(path)) await files.unlink(path);
  }
}
