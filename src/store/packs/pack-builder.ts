import { basename, dirname, join } from 'node:path/posix';
import { asError } from '../../lib/as-error.ts';
import { assert } from '../../lib/assert.ts';
import { copyBytes } from '../../lib/bytes.ts';
import { MiB } from '../../lib/sizes.ts';
import {
  encodePackFooter,
  encodePackHeader,
  type PackEntry,
  type PackHeader,
} from '../../formats/store/packs/pack.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { readFooter } from './pack-contents.ts';
import { groupBefore } from './pack-path.ts';
import type { PackBuilder } from './pack-store.ts';

/** The length of one write: large enough for a disk to stream. */
const PIECE_LENGTH = 2 * MiB;
/** The most pieces in memory: one being filled, others being written. */
const PIECES_MAX = 4;

export const OPEN_SUFFIX = '.open';

/**
 * `path`: its name once it is sealed. The file is created while the first frames are appended. `whenSealed` is
 * awaited once it is.
 */
export function packBuilder(
  files: FileSystem,
  path: string,
  header: PackHeader,
  whenSealed: () => Promise<void>,
): PackBuilder {
  const file = createIn(files, path + OPEN_SUFFIX);
  // The first write handles its failure.
  file.catch(() => {});
  const entries: PackEntry[] = [];
  const output = pieceWriter(file);
  output.push(encodePackHeader(header));
  let sealed = false;

  return {
    number: header.number,
    entries,
    get size() {
      return output.size();
    },
    append(frame, digest) {
      assert(!sealed, 'append to a sealed pack');
      const offset = output.size();
      output.push(frame);
      entries.push({ digest: Uint8Array.from(digest), offset, length: frame.length });
      return { pack: header.number, offset, length: frame.length };
    },
    drained: () => output.drained(PIECES_MAX),
    async seal() {
      sealed = true;
      output.push(encodePackFooter(entries, output.size()));
      await output.finish();
      await sealPack(files, await file, path, entries.length);
      await whenSealed();
    },
    async close() {
      await output.settled();
      await (await file)[Symbol.asyncDispose]();
    },
  };
}

async function createIn(files: FileSystem, path: string): Promise<File> {
  await makeGroup(files, path);
  return files.create(path);
}

/** Makes the directory of a pack's file. */
export async function makeGroup(files: FileSystem, path: string): Promise<void> {
  const group = dirname(path);
  if (await files.stat(group)) return;
  await files.makeDirectory(group);
  await files.syncDirectory(dirname(group));
  // If later packs are sealed in this directory while earlier ones in the one before are open, a power cut must
  // leave no gap.
  const before = join(dirname(group), groupBefore(basename(group)));
  if (await files.stat(before)) await files.syncDirectory(before);
}

/** Makes a fully written pack durable and gives it its name. */
export async function sealPack(
  files: FileSystem,
  file: File,
  path: string,
  count: number,
): Promise<void> {
  // The encoded footer is decoded again before anything can refer to it.
  const footer = await readFooter(file);
  assert(footer.entries.length === count, `${path}: ${footer.entries.length} of ${count} entries`);
  await file.sync();
  await file[Symbol.asyncDispose]();
  await files.rename(path + OPEN_SUFFIX, path);
  await files.syncDirectory(dirname(path));
}

function pieceWriter(file: Promise<File>) {
  let piece = new Uint8Array(PIECE_LENGTH);
  let filled = 0;
  let written = 0;
  const spare: Uint8Array<ArrayBuffer>[] = [];
  const waiting: Promise<void>[] = [];
  let failure: Error | undefined;

  function send(): void {
    const full = piece;
    const at = written;
    written += filled;
    const bytes = full.subarray(0, filled);
    const sent = file
      .then((it) => it.write(bytes, at))
      .then(
        () => void spare.push(full),
        (cause: unknown) => void (failure ??= asError(cause)),
      );
    waiting.push(sent);
    void sent.then(() => waiting.splice(waiting.indexOf(sent), 1));
    piece = spare.pop() ?? new Uint8Array(PIECE_LENGTH);
    filled = 0;
  }
  function check(): void {
    if (failure) throw failure;
  }
  return {
    size: () => written + filled,
    push(bytes: Uint8Array): void {
      for (let from = 0; from < bytes.length; ) {
        const count = Math.min(bytes.length - from, PIECE_LENGTH - filled);
        copyBytes(bytes.subarray(from, from + count), piece, filled);
        filled += count;
        from += count;
        if (filled === PIECE_LENGTH) send();
      }
    },
    async drained(limit: number): Promise<void> {
      while (waiting.length >= limit) await waiting[0];
      check();
    },
    async finish(): Promise<void> {
      if (filled > 0) send();
      await Promise.all(waiting);
      check();
    },
    /** Resolves once no write is under way, whether they succeeded or not. */
    async settled(): Promise<void> {
      await Promise.all(waiting);
    },
  };
}
