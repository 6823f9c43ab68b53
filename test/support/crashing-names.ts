import { dirname } from 'node:path/posix';
import { below } from './random.ts';
import { type Sectors, sectors } from './sectors.ts';

/** By their paths. */
export type Names = Map<string, Entry>;
export type Entry = Sectors | 'directory';

export interface NameChange {
  readonly directory: string;
  /** In that directory or not. */
  readonly paths: readonly string[];
  readonly apply: (names: Names) => void;
}

/** No file system promises that names become durable in their order: only that those of one path do. */
export function applySome(
  changes: readonly NameChange[],
  names: Names,
  random: () => number,
): void {
  const kind = below(random, 4);
  const lost = new Set<string>();
  for (const { paths, apply } of changes) {
    const isKept = kind === 1 || (kind > 1 && random() >= 0.5);
    if (isKept && !paths.some((path) => lost.has(path))) apply(names);
    else for (const path of paths) lost.add(path);
  }
}

/** A directory takes along all that is in it. */
export function moveInside(names: Names, from: string, to: string): void {
  for (const [name, entry] of [...names]) {
    if (!name.startsWith(`${from}/`)) continue;
    names.delete(name);
    names.set(to + name.slice(from.length), entry);
  }
}

/** What lies in a directory that is gone. */
export function dropOrphans(names: Names): void {
  for (const path of [...names.keys()].sort((a, b) => a.length - b.length)) {
    if (names.get(dirname(path)) !== 'directory') names.delete(path);
  }
}

export function contentsOf(names: Names, bytesOf: (inode: Sectors) => Uint8Array): Names {
  const copies = new Map<Sectors, Sectors>();
  const next: Names = new Map();
  for (const [path, entry] of names) {
    if (entry === 'directory') {
      next.set(path, entry);
      continue;
    }
    const copy = copies.get(entry) ?? sectors(bytesOf(entry));
    copies.set(entry, copy);
    next.set(path, copy);
  }
  return next;
}
