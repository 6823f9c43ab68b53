import { isDead } from '../../formats/store/packs/dead.ts';
import { FormatError } from '../../formats/format-error.ts';
import { indexPath, levelIndex } from '../index/block-index.ts';
import type { Store } from '../directory/store.ts';
import { StoreError } from '../packs/store-error.ts';
import { deadRanges, type PackPlan } from './pack-plan.ts';

/*
 * Removes what is planned, in an order that a crash may interrupt anywhere. 1. The store gets another mark: an index
 * that has the former one, also one that a power cut brings back, is not asked before it has forgotten all dead frames.
 * 2. `.dead` records them for good. 3. The index forgets them. 4. Their space is given back, and packs without a living
 * frame are unlinked. So no writer can refer to a frame whose space may be gone.
 */

/** The caller holds the store's lock, and found out under it what is needed. May be repeated. */
export async function removeFrames(store: Store, planned: readonly PackPlan[]): Promise<void> {
  const { packs, random } = store;
  const { swept } = packs;
  const before = await swept.mark().catch(unlessDamaged);
  const mark = Buffer.from(random.bytes(16)).toString('hex');
  await swept.writeMark(mark);
  for (const one of planned) await writeDead(store, one, false);
  await forgetInIndex(store, { before, mark }, planned);
  for (const one of planned) {
    if (one.isWhole) continue;
    await swept.giveBack(one.pack, deadRanges(one.footer.entries, one.unneeded));
    await writeDead(store, one, true);
  }
  await swept.remove(planned.filter(({ isWhole }) => isWhole).map(({ pack }) => pack));
  await removeMarks(store, planned);
}

/** Nothing waits any longer for frames that nothing needs to be stored again. */
export async function removeMarks({ packs }: Store, planned: readonly PackPlan[]): Promise<void> {
  const byPack = new Map(planned.map((one) => [one.pack, one]));
  for (const mark of await packs.wanted.list()) {
    const one = byPack.get(mark.pack);
    const at = one?.footer.entries.findIndex(({ offset }) => offset === mark.frame?.offset) ?? -1;
    const isUnneeded = one && at >= 0 && isDead({ bits: one.unneeded }, at);
    if (one?.isWhole || isUnneeded) await packs.wanted.remove(mark);
  }
}

function unlessDamaged(cause: unknown): undefined {
  if (!(cause instanceof FormatError)) throw cause;
}

async function writeDead(
  { packs }: Store,
  { pack, footer: { entries, entriesCrc }, bits }: PackPlan,
  isGivenBack: boolean,
): Promise<void> {
  await packs.swept.writeDead({ pack, entriesCrc }, { count: entries.length, isGivenBack, bits });
}

/**
 * Removes newly dead frames from the index, if that knows of all sweeps before this one. If it does not, or cannot be
 * opened or written (the disk may be full), the next writer does it before it looks anything up: the marks differ.
 */
async function forgetInIndex(
  store: Store,
  { before, mark }: { readonly before: string | undefined; readonly mark: string },
  planned: readonly PackPlan[],
): Promise<void> {
  if (!(await store.files.stat(indexPath(store)))) return;
  try {
    await using index = await levelIndex(indexPath(store), store.indexMemory);
    if ((await index.sweepMark()) !== before) return;
    await index.forget(
      planned.map(({ pack, dead }) => ({ pack, frames: dead })),
      mark,
    );
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
  }
}
