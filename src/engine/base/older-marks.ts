import { CatalogError } from '../../catalog/catalog-error.ts';
import { pointIds } from '../../catalog/point-places.ts';
import { marksPaths, readMarks } from '../../catalog/removal/marks.ts';
import type { RecordProblem } from '../../catalog/set-copies.ts';
import type { Engine } from './engine.ts';

/*
 * An older record of what keeps a point, or none, may have been put back: a hold or a lock is gone then, and the store
 * itself cannot know. The box remembers how far it has written. A point of which the record is older is not removed.
 */
type Place = Pick<Engine, 'store' | 'memory'>;

/** By point, of those that are there. */
export async function olderMarks(
  { store, memory }: Place,
  set: string,
  key?: Uint8Array,
): Promise<ReadonlyMap<string, RecordProblem>> {
  const found = new Map<string, RecordProblem>();
  const known = await memory.marked.of(set);
  if (known.size === 0) return found;
  const there = new Set(await pointIds(store, set));
  for (const [id, counter] of known) {
    if (!there.has(id)) continue;
    const place = { set, id };
    const has = await counterOf(store, place, key);
    if (has === undefined || has >= counter) continue;
    const reason =
      `what keeps ${id} is older than what this host wrote (record ${has}, not ${counter}): its files were put back ` +
      'or altered, and a hold or a lock may be gone; put the newer ones back, or say again what keeps it, with ' +
      '"holdfast backup hold", "lock", "protect" or "note"';
    found.set(id, { path: marksPaths(store, place)[0], reason });
  }
  return found;
}

/** Undefined: it is damaged, which keeps the point anyway. */
async function counterOf(
  store: Engine['store'],
  place: { readonly set: string; readonly id: string },
  key: Uint8Array | undefined,
): Promise<number | undefined> {
  try {
    return (await readMarks(store, place, key))?.counter ?? 0;
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return undefined;
  }
}
