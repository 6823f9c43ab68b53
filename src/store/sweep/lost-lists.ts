import { PACKS_PER_GROUP } from '../../formats/store/packs/removed.ts';
import type { Store } from '../directory/store.ts';
import { lastPack } from '../index/missing-packs.ts';
import type { Marking } from './mark.ts';

/** The directories of packs of whose list of removed packs no copy can be read. */
export async function lostLists({ packs }: Store): Promise<ReadonlySet<number>> {
  const { damage } = await packs.swept.removed();
  return new Set(damage.flatMap(({ group, isLost }) => (isLost ? group : [])));
}

/**
 * Makes such lists again. The mark is whole: so what is gone and needed by nothing counts as removed, however it went.
 * The caller holds the store's lock.
 */
export async function relist(
  store: Store,
  lost: ReadonlySet<number>,
  marking: Marking,
): Promise<void> {
  const last = await lastPack(store);
  // A pack that a crash left open is not gone.
  const open = new Set(await store.packs.unsealed());
  for (const group of lost) {
    const numbers = Array.from(
      { length: PACKS_PER_GROUP },
      (_, at) => group * PACKS_PER_GROUP + at,
    );
    const isGone = (pack: number): boolean =>
      pack > 0 && pack <= last && !open.has(pack) && marking.isUnneeded(pack);
    await store.packs.swept.list(numbers.filter(isGone));
  }
}
