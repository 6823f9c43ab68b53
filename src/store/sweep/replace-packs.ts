import { FormatError } from '../../formats/format-error.ts';
import type { Location } from '../../formats/store/packs/node.ts';
import { packEntriesCrc } from '../../formats/store/packs/pack.ts';
import {
  encodeReferenceList,
  referenceRecords,
  referencesAt,
} from '../../formats/store/packs/reference-list.ts';
import type { Store } from '../directory/store.ts';
import { switchOn } from '../directory/switch-on.ts';
import { indexPath, levelIndex } from '../index/block-index.ts';
import { lastPack } from '../index/missing-packs.ts';
import type { PackDraft } from '../packs/pack-store.ts';
import { StoreError } from '../packs/store-error.ts';
import type { PackPlan } from './pack-plan.ts';
import { removeMarks } from './remove-frames.ts';

/** Frames of a pack in a draft: the new offset of each, by the old one. */
export interface CopiedPack {
  readonly pack: number;
  readonly places: ReadonlyMap<number, number>;
}

export interface Replacing {
  /** Finished. */
  readonly draft: PackDraft;
  /** All that is needed of each source is among its places. */
  readonly sources: readonly {
    readonly plan: PackPlan;
    readonly places: CopiedPack['places'];
  }[];
}

/*
 * Puts a new pack in the place of others, in an order that a crash may interrupt anywhere. 1. The new pack gets its
 * number, durably: nothing refers to it. 2. `.moved` of each old pack says where its frames are; what had moved to it,
 * is found in one step. From now on no writer refers to the old frames. 3. The index has the new places; one that a
 * power cut brings back lacks the new pack, and gets them from its footer. 4. The old packs are removed, and their
 * numbers noted. Readers that find a frame no longer at its place look into `.moved`.
 */

/** The caller holds the store's lock, and found out under it what is needed. False: nothing was changed. */
export async function replacePacks(store: Store, { draft, sources }: Replacing): Promise<boolean> {
  const { packs } = store;
  const number = 1 + (await lastPack(store));
  const list = await listOf(store, number, { draft, sources });
  if (list === 'unknown') return false;
  await switchOn(store, 'swept');
  await switchOn(store, 'copied-packs');
  if (list) await packs.references.write(number, list);
  if (!(await draft.name(number))) return false;
  await packs.writeLast(number);
  const lengths = new Map(draft.entries.map(({ offset, length }) => [offset, length]));
  const moves = new Map(
    sources.map(({ plan: { pack, needed }, places }) => {
      const frames = new Map<number, Location>();
      for (const { offset } of needed) {
        const at = places.get(offset)!;
        frames.set(offset, { pack: number, offset: at, length: lengths.get(at)! });
      }
      return [pack, frames] as const;
    }),
  );
  for (const [pack, frames] of moves) await packs.moved.add(pack, frames);
  await shortenMoves(store, moves);
  await moveInIndex(store, number, { draft, sources });
  await packs.swept.remove([...moves.keys()]);
  await removeMarks(
    store,
    sources.map(({ plan }) => ({ ...plan, isWhole: true })),
  );
  return true;
}

/** The reference list of the new pack, made from those of its sources; 'unknown': not all of them can be read. */
async function listOf(
  { packs }: Store,
  number: number,
  { draft, sources }: Replacing,
): Promise<Uint8Array | 'unknown' | undefined> {
  if (sources[0]?.plan.kind !== 'node') return undefined;
  const records = new Map<number, Uint8Array>();
  try {
    for (const { plan, places } of sources) {
      const { pack, footer } = plan;
      const { entries, entriesCrc } = footer;
      const list = await packs.references.of(pack, entries.length);
      if (!list) return 'unknown';
      for (const [offset, record] of referenceRecords(list, { pack, entriesCrc })) {
        const at = places.get(offset);
        if (at !== undefined) records.set(at, referencesAt(record, at));
      }
    }
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return 'unknown';
  }
  // A node that is not needed after all may lack a record.
  const isWhole = sources.every(({ plan, places }) =>
    plan.needed.every(({ offset }) => records.has(places.get(offset)!)),
  );
  if (!isWhole) return 'unknown';
  const inOrder = [...records].sort(([a], [b]) => a - b).map(([, record]) => record);
  return encodeReferenceList({ pack: number, entriesCrc: packEntriesCrc(draft.entries) }, inOrder);
}

type Moves = ReadonlyMap<number, ReadonlyMap<number, Location>>;

/** A reader follows a few steps only: what moved to one of these packs before is found in one step. */
async function shortenMoves({ packs }: Store, moves: Moves): Promise<void> {
  for (const pack of await packs.moved.list()) {
    if (moves.has(pack)) continue;
    const shorter = new Map<number, Location>();
    for (const [offset, to] of await packs.moved.of(pack)) {
      const next = moves.get(to.pack)?.get(to.offset);
      if (next) shorter.set(offset, next);
    }
    if (shorter.size > 0) await packs.moved.add(pack, shorter);
  }
}

/**
 * Durable once it resolves. If the index cannot be opened or written, the next writer does it: it does not know the new
 * pack then.
 */
async function moveInIndex(
  store: Store,
  number: number,
  { draft, sources }: Replacing,
): Promise<void> {
  if (!(await store.files.stat(indexPath(store)))) return;
  try {
    const { size } = await store.packs.summary(number);
    await using index = await levelIndex(indexPath(store), store.indexMemory);
    await index.addPack({ pack: number, size, isSound: true }, draft.entries);
    await index.forget(
      sources.map(({ plan: { pack, footer } }) => ({ pack, frames: footer.entries })),
      undefined,
    );
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
  }
}
