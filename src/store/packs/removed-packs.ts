import { FormatError } from '../../formats/format-error.ts';
import {
  decodeRemoved,
  encodeRemoved,
  PACKS_PER_GROUP,
  REMOVED_LENGTH,
} from '../../formats/store/packs/removed.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { isGroup, removedCopyPath, removedPath } from './pack-path.ts';

/*
 * The packs that sweeps have removed, in one list for each directory of packs, and each list twice. Both copies are
 * durable before the first of its packs is unlinked, and numbers are only ever added. So either copy alone lists all
 * packs that are gone, and together they list what one of them lists.
 */
export interface RemovedPacks {
  readonly numbers: ReadonlySet<number>;
  readonly damage: readonly ListDamage[];
}

/** A copy of a list that cannot be read. */
export interface ListDamage {
  readonly group: number;
  readonly where: string;
  readonly what: string;
  /** The other copy cannot be read either, or is missing: the packs that were in the list are not known. */
  readonly isLost: boolean;
}

/** `directory`: the store's `packs`. */
export async function readRemoved(files: FileSystem, directory: string): Promise<RemovedPacks> {
  const numbers = new Set<number>();
  const damage: ListDamage[] = [];
  for (const name of (await files.list(directory)).filter(isGroup)) {
    const group = Number(name);
    const read = await readGroup(files, directory, group);
    for (const pack of read.packs) numbers.add(pack);
    damage.push(...read.damage);
  }
  return { numbers, damage };
}

/** Durable in both copies once it resolves. The caller holds the store's lock. */
export async function listRemoved(
  files: FileSystem,
  directory: string,
  packs: readonly number[],
): Promise<void> {
  for (const [group, added] of Map.groupBy(packs, groupOf)) {
    // If neither copy can be read, what they listed looks lost from now on, and a check says so.
    const before = await readGroup(files, directory, group);
    await writeGroup(files, directory, { group, packs: [...before.packs, ...added] });
  }
}

/** Writes a list again of which one copy can be read. The caller holds the store's lock. */
export async function mendRemoved(
  files: FileSystem,
  directory: string,
  group: number,
): Promise<void> {
  const { packs } = await readGroup(files, directory, group);
  await writeGroup(files, directory, { group, packs });
}

/** Whether a sweep has removed a pack; false also where that is not known. `directory`: the store's `packs`. */
export async function isRemoved(
  files: FileSystem,
  directory: string,
  pack: number,
): Promise<boolean> {
  return (await readGroup(files, directory, groupOf(pack))).packs.has(pack);
}

async function readGroup(files: FileSystem, directory: string, group: number) {
  const packs = new Set<number>();
  const defects: Omit<ListDamage, 'isLost'>[] = [];
  let isKnown = false;
  for (const at of COPIES) {
    const where = at(directory, group);
    try {
      // A crash between the two leaves one of them: no damage.
      if (!(await files.stat(where))) continue;
      const bytes = await files.readFile(where, 2 * REMOVED_LENGTH);
      for (const pack of decodeRemoved(bytes, group)) packs.add(pack);
      isKnown = true;
    } catch (cause) {
      const isUnreadable = cause instanceof SystemError && cause.code === 'IO';
      if (!(cause instanceof FormatError) && !isUnreadable) throw cause;
      defects.push({ group, where, what: cause.message });
    }
  }
  return { packs, damage: defects.map((it) => ({ ...it, isLost: !isKnown })) };
}

async function writeGroup(
  files: FileSystem,
  directory: string,
  { group, packs }: { readonly group: number; readonly packs: Iterable<number> },
): Promise<void> {
  const bytes = encodeRemoved(group, packs);
  for (const at of COPIES) await putDurably(files, at(directory, group), bytes, 'shared');
}

const COPIES = [removedCopyPath, removedPath];

function groupOf(pack: number): number {
  return Math.floor(pack / PACKS_PER_GROUP);
}
