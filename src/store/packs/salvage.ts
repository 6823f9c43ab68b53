import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import type { FrameKind } from '../../formats/store/packs/frame.ts';
import {
  decodePackHeader,
  DOMAIN_LENGTH,
  encodePackFooter,
  encodePackHeader,
  PACK_HEADER_LENGTH,
} from '../../formats/store/packs/pack.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { type WalkedFrames, walkFrames } from './frame-walk.ts';
import { OPEN_SUFFIX, sealPack } from './pack-builder.ts';
import { isGroup, packNumber } from './pack-path.ts';

/**
 * Seals packs that a crash left open: cut after the last whole frame, so that a repeated backup finds their blocks.
 * Packs of nodes are sealed empty: blocks to which they refer may be lost, and a later backup that found such a node
 * would refer to missing blocks; but a missing number would look like a lost pack. `directory`: the store's `packs`.
 */
export async function salvageOpenPacks(files: FileSystem, directory: string): Promise<void> {
  for (const group of (await files.list(directory)).filter(isGroup)) {
    if ((await files.stat(join(directory, group)))?.kind !== 'directory') continue;
    for (const name of await files.list(join(directory, group))) {
      if (name.endsWith(`.pack${OPEN_SUFFIX}`)) {
        const sealed = name.slice(0, -OPEN_SUFFIX.length);
        const number = packNumber(group, sealed, 'pack');
        const path = join(directory, group, sealed);
        // If the sealed pack exists, this file belongs to another copy of the store: the published pack stays.
        if (number !== undefined && !(await files.stat(path))) await salvage(files, path, number);
      }
    }
  }
}

async function salvage(files: FileSystem, path: string, number: number): Promise<void> {
  const file = await files.open(path + OPEN_SUFFIX, 'write');
  // After a sync that failed, memory may have what the medium lacks and no later sync writes: only the medium counts.
  await file.sync();
  await file.drop(0, await file.size());
  const kind = await kindOf(file);
  const { entries, end } =
    kind === 'block' ? await walkFrames(file, 'first-damage') : await emptied(file, number);
  await file.truncate(end);
  await file.write(encodePackFooter(entries, end), end);
  await sealPack(files, file, path, entries.length);
}

async function emptied(file: File, number: number): Promise<WalkedFrames> {
  const domain = new Uint8Array(DOMAIN_LENGTH);
  await file.write(encodePackHeader({ kind: 'node', number, domain }), 0);
  return { entries: [], end: PACK_HEADER_LENGTH };
}

/** The kind of a pack; undefined: not even its header is whole. */
async function kindOf(file: File): Promise<FrameKind | undefined> {
  const bytes = new Uint8Array(PACK_HEADER_LENGTH);
  try {
    return decodePackHeader(bytes.subarray(0, await file.read(bytes, 0))).kind;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}
