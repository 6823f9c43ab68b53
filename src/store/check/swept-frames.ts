import type { PackEntry } from '../../formats/store/packs/pack.ts';
import type { PackStore } from '../packs/pack-store.ts';
import type { ListDamage } from '../packs/removed-packs.ts';
import { livingEntries } from '../packs/swept-packs.ts';
import { type Problem, reason } from './problem.ts';

/** The frames of a pack that are not dead; none where it is not known which are dead: that is reported. */
export async function livingFrames(
  packs: PackStore,
  pack: number,
  onProblem: (problem: Problem) => void,
): Promise<readonly PackEntry[]> {
  try {
    return await livingEntries(packs, pack, await packs.footer(pack));
  } catch (cause) {
    const what = `${reason(cause)}; the next sweep writes it again`;
    onProblem({ where: packs.swept.deadPath(pack), what });
    return [];
  }
}

/** Which frames of a pack a sweep has removed, perhaps since a check began with it. */
export async function sweptFrames(
  packs: PackStore,
  pack: number,
): Promise<(offset: number) => boolean> {
  if (await isRemoved(packs, pack)) return () => true;
  try {
    const footer = await packs.footer(pack);
    const living = new Set(await livingEntries(packs, pack, footer));
    const dead = footer.entries.filter((entry) => !living.has(entry));
    const offsets = new Set(dead.map(({ offset }) => offset));
    return (offset) => offsets.has(offset);
  } catch (cause) {
    reason(cause);
    return () => false;
  }
}

export async function isRemoved(packs: PackStore, pack: number): Promise<boolean> {
  return (await packs.swept.removed()).numbers.has(pack);
}

export function listProblem({ where, what, isLost }: ListDamage): Problem {
  const then = isLost
    ? 'the packs that it listed look missing; "store check" with the keys of all sets finds out whether ' +
      'something is lost, and a sweep that can read everything writes the list again'
    : 'its other copy is whole: "store repair" or the next backup writes it again';
  return { where, what: `${what}; ${then}` };
}
