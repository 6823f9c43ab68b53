import type { Known } from './export-entry.ts';

/** Trees by their names and by their tags. */
export interface KnownTrees<T> {
  named(name: string): T | undefined;
  tagged(tag: number): T | undefined;
  /** In the order of their tags, which is the same after every restart. */
  byTag(): readonly T[];
  put(it: T): void;
  /** Removes a tree and returns it. */
  drop(name: string): T | undefined;
}

export function knownTrees<T extends Known>(): KnownTrees<T> {
  const names = new Map<string, T>();
  const tags = new Map<number, T>();
  let sorted: readonly T[] | undefined = [];
  function drop(name: string): T | undefined {
    const it = names.get(name);
    if (!it) return undefined;
    names.delete(name);
    tags.delete(it.tag);
    sorted = undefined;
    return it;
  }
  return {
    named: (name) => names.get(name),
    tagged: (tag) => tags.get(tag),
    byTag: () => (sorted ??= [...tags.values()].sort((a, b) => a.tag - b.tag)),
    drop,
    put(it) {
      drop(it.name);
      names.set(it.name, it);
      tags.set(it.tag, it);
      sorted = undefined;
    },
  };
}
