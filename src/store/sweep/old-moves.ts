import { FormatError } from '../../formats/format-error.ts';
import type { Store } from '../directory/store.ts';
import type { Marking } from './mark.ts';

/*
 * `.moved` of a pack that was copied goes once no recovery point names a place in that pack any longer. The record of
 * a pack that was lost stays: the pack may come back.
 */

/** Copied packs of which no place is needed. */
export async function unneededMoves(store: Store, marking: Marking): Promise<readonly number[]> {
  const { packs } = store;
  if (marking.moved.size === 0) return [];
  const { numbers: removed } = await packs.swept.removed();
  const found: number[] = [];
  for (const pack of marking.moved) {
    const isGone = removed.has(pack) && !marking.isThere(pack);
    if (isGone && (await isUnneeded(store, marking, pack))) found.push(pack);
  }
  return found;
}

/** Removes the records of those of `found` that are unneeded now. The caller holds the store's lock. */
export async function removeMoves(
  store: Store,
  marking: Marking,
  found: readonly number[],
): Promise<void> {
  for (const pack of found) {
    if (await isUnneeded(store, marking, pack)) await store.packs.moved.remove(pack);
  }
}

async function isUnneeded({ packs }: Store, { live }: Marking, pack: number): Promise<boolean> {
  try {
    const places = [...(await packs.moved.of(pack)).keys()].map((offset) => ({ pack, offset }));
    return !places.some((place) => live.has('block', place) || live.has('node', place));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return false;
  }
}
