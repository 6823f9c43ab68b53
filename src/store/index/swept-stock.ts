import { isDead } from '../../formats/store/packs/dead.ts';
import type { PackEntry } from '../../formats/store/packs/pack.ts';
import { FormatError } from '../../formats/format-error.ts';
import type { PackFooter, PackStore } from '../packs/pack-store.ts';
import { livingEntries } from '../packs/swept-packs.ts';
import type { Store } from '../directory/store.ts';
import type { BlockIndex } from './block-index.ts';

export type OnDamage = (where: string, what: string) => void;

/** What a writer must know of earlier sweeps. */
export interface SweptStock {
  /** Packs that are gone because nothing was needed in them. */
  readonly removed: ReadonlySet<number>;
  /** The entries of a pack that are not dead. Rejects FormatError if it is not known which are. */
  livingOf(pack: number, footer: PackFooter): Promise<readonly PackEntry[]>;
  /** Removes dead frames of these packs from an index that does not know of the last sweep. */
  forgetIn(index: BlockIndex, isThere: (pack: number) => boolean): Promise<void>;
}

export async function sweptStock(
  { packs, has }: Pick<Store, 'packs' | 'has'>,
  onDamage: OnDamage,
): Promise<SweptStock> {
  const { swept } = packs;
  const mark = await markOf({ packs, has }, onDamage);
  const { numbers: removed, damage } = await swept.removed();
  for (const { where, what } of damage) onDamage(where, what);

  return {
    removed,
    livingOf: (pack, footer) => livingEntries(packs, pack, footer),
    async forgetIn(index, isThere) {
      if (mark !== undefined && (await index.sweepMark()) === mark) return;
      for (const pack of await swept.listDead()) {
        if (isThere(pack)) await forgetDead(packs, index, pack);
      }
      await index.forget([], mark);
    },
  };
}

/** Undefined: it is damaged or lost, so that no index can be known to know of the last sweep. */
async function markOf(
  { packs: { swept }, has }: Pick<Store, 'packs' | 'has'>,
  onDamage: OnDamage,
): Promise<string | undefined> {
  try {
    const mark = await swept.mark();
    if (mark !== '' || !has('swept')) return mark;
    // The mark is written after the feature: no pack may have been swept yet.
    if ((await swept.listDead()).length > 0) onDamage(swept.markPath, 'it is missing');
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    onDamage(swept.markPath, cause.message);
  }
  return undefined;
}

/** Nothing is known of a damaged record or pack, so nothing of it stays in the index. */
async function forgetDead(packs: PackStore, index: BlockIndex, pack: number): Promise<void> {
  const { entries } = await packs.contents(pack);
  await index.forget([{ pack, frames: await deadOf(packs, pack, entries) }], undefined);
}

async function deadOf(
  packs: PackStore,
  pack: number,
  entries: readonly PackEntry[],
): Promise<readonly PackEntry[]> {
  try {
    const { entriesCrc } = await packs.summary(pack);
    const dead = await packs.swept.dead({ pack, entriesCrc });
    return dead ? entries.filter((_, at) => isDead(dead, at)) : [];
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return entries;
  }
}
