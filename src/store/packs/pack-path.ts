import { join } from 'node:path/posix';
import { PACKS_PER_GROUP } from '../../formats/store/packs/removed.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';

const NAME = /^(\d{8})\.(pack|moved|refs|dead|pack\.open)$/;

/** `pack.open`: a pack that is being written, or that a crash left. */
export type PackFileKind = 'pack' | 'moved' | 'refs' | 'dead' | 'pack.open';
const GROUP = /^\d{5}$/;

export function packPath(directory: string, pack: number): string {
  return pathOf(directory, pack, 'pack');
}

export function movedPath(directory: string, pack: number): string {
  return pathOf(directory, pack, 'moved');
}

export function referencesPath(directory: string, pack: number): string {
  return pathOf(directory, pack, 'refs');
}

export function deadPath(directory: string, pack: number): string {
  return pathOf(directory, pack, 'dead');
}

/** The list of the packs of a group that a sweep has removed. */
export function removedPath(directory: string, group: number): string {
  return join(directory, groupName(group), 'removed');
}

/** The second copy of that list. */
export function removedCopyPath(directory: string, group: number): string {
  return `${removedPath(directory, group)}.copy`;
}

/** The name of a pack in the making that has no number yet: one at a time. */
export const DRAFT = 'sweep-copy.tmp';

/** The draft of a pack that lies in the directory of the packs about `pack`. */
export function draftPath(directory: string, pack: number): string {
  return join(directory, groupOf(pack), DRAFT);
}

/** Whether a directory in `packs` has packs in it. */
export function isGroup(name: string): boolean {
  return GROUP.test(name);
}

/** The directory of the 1,000 packs before those of `group`. */
export function groupBefore(group: string): string {
  return groupName(Number(group) - 1);
}

/** The number in a file's name, if it is where that pack belongs. */
export function packNumber(group: string, name: string, kind: PackFileKind): number | undefined {
  const match = NAME.exec(name);
  if (match?.[2] !== kind) return undefined;
  const pack = Number(match[1]);
  return groupOf(pack) === group ? pack : undefined;
}

/** The numbers of the packs, ascending. Other files are skipped. */
export async function listPacks(
  files: FileSystem,
  directory: string,
  kind: PackFileKind,
): Promise<number[]> {
  const found: number[] = [];
  for (const group of (await files.list(directory)).filter(isGroup)) {
    if ((await files.stat(join(directory, group)))?.kind !== 'directory') continue;
    for (const name of await files.list(join(directory, group))) {
      const pack = packNumber(group, name, kind);
      if (pack !== undefined) found.push(pack);
    }
  }
  return found.sort((a, b) => a - b);
}

function groupOf(pack: number): string {
  return groupName(Math.floor(pack / PACKS_PER_GROUP));
}

function groupName(group: number): string {
  return String(group).padStart(5, '0');
}

function pathOf(directory: string, pack: number, kind: Exclude<PackFileKind, 'pack.open'>): string {
  return join(directory, groupOf(pack), `${String(pack).padStart(8, '0')}.${kind}`);
}
