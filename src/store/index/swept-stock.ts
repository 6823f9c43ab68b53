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
  /**
   * Removes dead frames of packs that an index knows (`sizes`) from it, if it does not know of the last sweep. Resolves
   * with packs whose footers are damaged: which of their frames are dead is not known, so nothing may refer to any.
   */
  forgetIn(index: BlockIndex, sizes: ReadonlyMap<number, number>): Promise<number[]>;
}

export async function sweptStock(
  { packs, has }: Pick<Store, 'packs' | 'has'>,
  onDamage: OnDamage,
): Promise<SweptStock> {
  const { swept } = packs;
  const mark = await markOf({ packs, has }, onDamage);
  const { numbers: removed, damage } = await swept.removed();
  for (const one of damage) {
    if (!one.isLost) await swept.mend(one);
    onDamage(one.where, one.isLost ? one.what : `${one.what}; it is written again from its copy`);
  }

  return {
    removed,
    livingOf: (pack, footer) => livingEntries(packs, pack, footer),
    async forgetIn(index, sizes) {
      const unknown: number[] = [];
      if (mark !== undefined && (await index.sweepMark()) === mark) return unknown;
      for (const pack of await swept.listDead()) {
        const size = sizes.get(pack);
        if (size === undefined || (await forgetDead(packs, index, pack))) continue;
        unknown.push(pack);
        // Before the mark: once that is noted, no writer looks at these packs again.
        await index.addPack({ pack, size, isSound: false }, []);
      }
      await index.forget([], mark);
      return unknown;
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

/** False: the footer is damaged. Nothing is known of a damaged record, so nothing of its pack stays in the index. */
async function forgetDead(packs: PackStore, index: BlockIndex, pack: number): Promise<boolean> {
  try {
    // Frames that are found without the footer do not do: those before a hole would be taken for others.
    const footer = await packs.footer(pack);
    await index.forget([{ pack, frames: await deadOf(packs, pack, footer) }], undefined);
    return true;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return false;
  }
}

async function deadOf(
  packs: PackStore,
  pack: number,
  { entries, entriesCrc }: PackFooter,
): Promise<readonly PackEntry[]> {
  try {
    const dead = await packs.swept.dead({ pack, entriesCrc });
    return dead ? entries.filter((_, at) => isDead(dead, at)) : [];
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return entries;
  }
}
