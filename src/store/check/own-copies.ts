import { FormatError } from '../../formats/format-error.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { copiesOwner, nameCopiesOwner } from '../packs/copies-owner.ts';
import { nodeCopies } from '../packs/node-copies.ts';
import { readSummary } from '../packs/pack-contents.ts';
import type { PackStore, PackSummary } from '../packs/pack-store.ts';

export interface OwnCopiesOptions {
  readonly files: FileSystem;
  /** The directory of the store. */
  readonly directory: string;
  /** The store's ID. */
  readonly id: string;
  readonly packs: PackStore;
  readonly changed: 'all' | 'copies' | 'none';
}

/** Why the copies must not be used; undefined: they are those of this store, or there are none. */
export async function foreignCopies(options: OwnCopiesOptions): Promise<string | undefined> {
  const { files, directory, id, changed } = options;
  try {
    const owner = await copiesOwner(files, directory, id);
    if (owner === 'this' || owner === 'empty') return undefined;
    if (owner === 'unnamed' && (await agree(options))) {
      if (changed !== 'none') await nameCopiesOwner(files, directory, id);
      return undefined;
    }
    const what =
      owner === 'other'
        ? 'these are the copies of another store'
        : 'these copies do not say of which store they are, and their packs are not those of this store';
    return (
      `${what}: they are neither used nor changed; mount the disk of this store there, ` +
      'or remove them if no store needs them'
    );
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return `second copies cannot be read: ${cause.message}`;
  }
}

/** Whether one of the packs is in the store, and none differs from that of its number. */
async function agree({ files, directory, id, packs }: OwnCopiesOptions): Promise<boolean> {
  const copies = nodeCopies(files, directory, id);
  let same = 0;
  for (const pack of await copies.list()) {
    const copy = await summaryOf(files, copies.path(pack));
    const main = await summaryOf(files, packs.path(pack));
    if (!copy || !main) continue;
    if (!isSame(copy, main)) return false;
    same++;
  }
  return same > 0;
}

function isSame(a: PackSummary, b: PackSummary): boolean {
  return (
    a.header.kind === b.header.kind &&
    a.header.number === b.header.number &&
    Buffer.compare(a.header.domain, b.header.domain) === 0 &&
    a.size === b.size &&
    a.entriesCrc === b.entriesCrc
  );
}

/** Undefined: it is missing or damaged. */
async function summaryOf(files: FileSystem, path: string): Promise<PackSummary | undefined> {
  try {
    await using file = await files.open(path, 'read');
    return await readSummary(file);
  } catch (cause) {
    if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}
