import { tryHoldPoint } from '../../catalog/point-lease.ts';
import { listPoints } from '../../catalog/points.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { ScrubResult } from '../../operations/nouns/store.ts';
import { hurtFinder } from '../../store/check/hurt-disks.ts';
import type { Engine } from '../base/engine.ts';

/** Disks and files of recovery points that need what is damaged. `marks`: missing blocks get marks. */
export async function hurtDisks(
  { store }: Engine,
  open: readonly OpenSet[],
  { signal, marks }: { readonly signal: AbortSignal; readonly marks: boolean },
): Promise<ScrubResult['hurt']> {
  const found: ScrubResult['hurt'][number][] = [];
  for (const set of open) {
    const finder = await hurtFinder(store.packs, set.keys, { marks });
    // Damaged records are listed by a check.
    for (const point of (await listPoints(store, set.name, set.keys)).points) {
      signal.throwIfAborted();
      await using lease = await tryHoldPoint(store, set, point, `store scrub of ${point.id}`);
      if (!lease) continue;
      for (const part of [...point.disks, ...(point.files ?? [])]) {
        const hurt = await finder.find(part);
        if (!hurt) continue;
        const { id, machine } = point;
        found.push({ set: set.name, machine, point: id, disk: part.name, ...hurt });
      }
    }
  }
  return found;
}
