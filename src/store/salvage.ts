import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  checkFrame,
  type FrameKind,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  parseFrameHeader,
} from '../formats/store/frame.ts';
import {
  decodePackHeader,
  encodePackFooter,
  PACK_HEADER_LENGTH,
  type PackEntry,
} from '../formats/store/pack.ts';
import type { File, FileSystem } from '../sys/file-system.ts';
import { OPEN_SUFFIX, sealPack } from './pack-builder.ts';

/**
 * Packs that a crash left open: cut behind the last whole frame and sealed, so that a repeated backup
 * finds what they hold. Packs of nodes are removed: blocks that they name may be lost, and a later
 * backup that found such a node would refer to nothing. `directory`: the store's `packs`.
 */
export async function salvageOpenPacks(files: FileSystem, directory: string): Promise<void> {
  for (const group of await files.list(directory)) {
    for (const name of await files.list(join(directory, group))) {
      if (name.endsWith(`.pack${OPEN_SUFFIX}`)) {
        await salvage(files, join(directory, group, name.slice(0, -OPEN_SUFFIX.length)));
      }
    }
  }
}

async function salvage(files: FileSystem, path: string): Promise<void> {
  const file = await files.open(path + OPEN_SUFFIX, 'write');
  const { kind, entries, end } = await wholeFrames(file);
  if (kind !== 'block' || entries.length === 0) {
    await file[Symbol.asyncDispose]();
    await files.unlink(path + OPEN_SUFFIX);
    return;
  }
  await file.truncate(end);
  await file.write(encodePackFooter(entries, end), end);
  await sealPack(files, file, path, entries.length);
}

interface WholeFrames {
  /** Undefined: not even the pack's header is whole. */
  readonly kind: FrameKind | undefined;
  readonly entries: readonly PackEntry[];
  readonly end: number;
}

/** Walks from frame to frame up to the first that is not whole. */
async function wholeFrames(file: File): Promise<WholeFrames> {
  const entries: PackEntry[] = [];
  const bytes = new Uint8Array(FRAME_LENGTH_MAX);
  let kind: FrameKind | undefined;
  let end = PACK_HEADER_LENGTH;
  try {
    const head = bytes.subarray(0, await file.read(bytes.subarray(0, end), 0));
    kind = decodePackHeader(head).kind;
    for (;;) {
      const head = await file.read(bytes.subarray(0, FRAME_HEADER_LENGTH), end);
      const { storedLength } = parseFrameHeader(bytes.subarray(0, head));
      const length = FRAME_HEADER_LENGTH + storedLength;
      const got = await file.read(bytes.subarray(0, length), end);
      const { digest } = checkFrame(bytes.subarray(0, got));
      entries.push({ digest: digest.slice(), offset: end, length });
      end += length;
    }
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return { kind, entries, end };
  }
}
