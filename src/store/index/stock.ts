import { join } from 'node:path/posix';
import { digestKey } from '../../formats/store/base/digest.ts';
import { PACK_NUMBER_MAX, type PackEntry } from '../../formats/store/packs/pack.ts';
import { lossOf } from '../../formats/store/packs/index-entry.ts';
import type { Wanted } from '../../formats/store/packs/wanted.ts';
import { FormatError } from '../../formats/format-error.ts';
import type { BlockIndex } from './block-index.ts';
import type { Store } from '../directory/store.ts';
import { type OnDamage, type SweptStock, sweptStock } from './swept-stock.ts';
import { StoreError } from '../packs/store-error.ts';
import {
  hasKey,
  locationKey,
  type Place,
  sortedKeys,
  type TrustData,
  trustData,
  trustOf,
} from '../packs/trust.ts';

/** The state that a writer finds when it opens a store. */
export interface Stock {
  readonly trust: TrustData;
  /** The number of the last pack as the store records it; 0: there is no record, or it cannot be read. */
  readonly writtenLast: number;
  /**
   * The loss, as an index remembers it; undefined: frames are marked, and it is not known yet which trees need them.
   */
  readonly loss: Uint8Array | undefined;
  /** Data that points may need is lost or damaged: contents of this backup may repair it. */
  readonly hasLoss: boolean;
  /** Marked frames by the `digestKey` of their contents. */
  readonly marks: ReadonlyMap<string, readonly Place[]>;
}

export interface StockOptions {
  /** Called while an index that is missing or behind catches up with the packs. */
  readonly onIndexing?: ((done: number, total: number) => void) | undefined;
  /** Called for packs that are missing or damaged. The work continues. */
  readonly onDamage?: ((where: string, what: string) => void) | undefined;
}

/**
 * Repairs packs that a crash left, adds missing ones to the index, which makes them durable, and finds out which
 * places may be referred to. Rejects INDEX: the index describes other packs than these.
 */
export async function takeStock(
  store: Store,
  index: BlockIndex,
  { onIndexing, onDamage: tell }: StockOptions = {},
): Promise<Stock> {
  const damage: { readonly where: string; readonly what: string }[] = [];
  const onDamage = (where: string, what: string): void => void damage.push({ where, what });
  const { packs } = store;
  await packs.salvage();
  const sizes = await packs.sizes();
  const known = await index.packs();
  const marks = await packs.wanted.list();
  const moved = await packs.moved.list();
  const marked = marks.map(({ pack }) => pack);
  const swept = await sweptStock(store, onDamage);
  const { removed } = swept;
  const written = await packs.readLast();
  if (written.damage) onDamage(written.damage.where, written.damage.what);
  const last = lastNumber([
    ...[...sizes.keys(), ...known.keys(), ...moved, ...marked, ...removed, written.last],
  ]);
  for (const pack of [...sizes.keys()].filter((it) => !isGiven(it, last))) {
    onDamage(packs.path(pack), 'no pack of this store can have this number: it is ignored');
    sizes.delete(pack);
  }
  const damaged = new Set([...sizes.keys()].filter((pack) => known.get(pack)?.isSound === false));
  const wholePacks = new Set(marks.filter(({ frame }) => !frame).map(({ pack }) => pack));
  // A pack that a sweep has removed, and that a power cut brought back, may have holes of which nothing is recorded.
  const isTrusted = (pack: number): boolean => !removed.has(pack) && !wholePacks.has(pack);
  const usable = (pack: number) => sizes.has(pack) && !damaged.has(pack) && isTrusted(pack);
  const { keys, full, unreadable } = await movedFrames(packs, moved.filter(usable), onDamage);
  // The contents of a damaged list of moved frames are not known: any frame may have been in it.
  for (const pack of unreadable) damaged.add(pack);
  for (const pack of full) wholePacks.add(pack);
  for (const { pack, frame } of marks) {
    if (frame) keys.push(locationKey({ pack, offset: frame.offset }));
  }
  const distrusted = sortedKeys(keys);

  const inIndex = new Map([...sizes].filter(([pack]) => known.has(pack)));
  for (const pack of await swept.forgetIn(index, inIndex)) {
    if (known.get(pack)?.isSound) onDamage(packs.path(pack), 'its footer is damaged');
    damaged.add(pack);
  }
  const behind = [...sizes].filter(([pack, size]) => known.get(pack)?.size !== size);
  // A killed writer may have renamed packs without syncing, so that a power cut would undo it: until then their
  // contents may not be referred to.
  await packs.settle(behind.map(([pack]) => pack));
  for (const [done, [pack, size]] of behind.entries()) {
    const entries = await soundEntries(store, pack, { swept, onDamage });
    if (entries && known.has(pack)) {
      // It may not be the same pack: entries of another one would lead to wrong places.
      const isBack = known.get(pack)?.size === 0;
      const what = isBack ? 'was missing and is back' : 'is not the one that it knows';
      throw new StoreError('INDEX', `pack ${pack} ${what}`);
    }
    if (!entries) damaged.add(pack);
    const trusted = (entries ?? []).filter(
      ({ offset }) => !hasKey(distrusted, locationKey({ pack, offset })),
    );
    await index.addPack({ pack, size, isSound: entries !== undefined }, trusted);
    onIndexing?.(done + 1, behind.length);
  }
  for (const { pack, isSound } of known.values()) {
    if (sizes.has(pack) || removed.has(pack) || !isSound || !isGiven(pack, last)) continue;
    onDamage(packs.path(pack), 'the pack is missing');
    // Reported once; its contents stay unknown.
    await index.addPack({ pack, size: 0, isSound: false }, []);
  }
  for (const { where, what } of damage.slice(0, TOLD_MAX)) tell?.(where, what);
  const more = damage.length - TOLD_MAX;
  if (more > 0) tell?.(join(store.directory, 'packs'), `${more} more files are missing or damaged`);
  const trust = trustData([...sizes.keys()].filter(usable), last + 1, distrusted);
  const open = await openMarks(store, index, { marks, trust });
  return {
    writtenLast: written.last,
    loss: open.some(({ frame }) => frame)
      ? undefined
      : lossOf(gonePacks({ sizes, removed, last }), new Set([...damaged, ...wholePacks])),
    trust,
    // Numbers are given without gaps: a missing number is a lost pack.
    hasLoss:
      sizes.size + [...removed].filter((pack) => !sizes.has(pack)).length < last ||
      damaged.size > 0 ||
      open.length > 0,
    marks: byDigest(open),
  };
}

/** Removes marks of frames that have been stored again: a read may have left one while a writer was at work. */
async function openMarks(
  { packs }: Store,
  index: BlockIndex,
  { marks, trust }: { readonly marks: readonly Wanted[]; readonly trust: TrustData },
): Promise<Wanted[]> {
  const { isGood } = trustOf(trust);
  const open: Wanted[] = [];
  for (const mark of marks) {
    const { pack, frame } = mark;
    const to = frame && (await packs.moved.next({ pack, offset: frame.offset }));
    const known = frame && to && index.get(frame.digest);
    const isThere = to && known && locationKey(to) === locationKey(known) && isGood(known);
    if (isThere) await packs.wanted.remove(mark);
    else open.push(mark);
  }
  return open;
}

/** The most damaged files that are named one by one. */
const TOLD_MAX = 20;
/** The most consecutive numbers that may be missing: 64 TiB of packs. */
const GAP_MAX = 2 ** 20;
/** The most old places of moved frames of sound packs, at some 20 bytes each. */
const MOVED_MAX = 2 ** 20;

/**
 * The greatest number of any pack, present or past. Names and index are not authenticated: a number far from all
 * others is ignored, or the next pack would get a number that does not fit in a file name.
 */
export function lastNumber(numbers: readonly number[]): number {
  let last = 0;
  for (const number of Float64Array.from(numbers).sort()) {
    if (number > Math.min(last + GAP_MAX, PACK_NUMBER_MAX)) break;
    last = number;
  }
  return last;
}

interface GivenPacks {
  readonly sizes: ReadonlyMap<number, number>;
  readonly removed: ReadonlySet<number>;
  readonly last: number;
}

function* gonePacks({ sizes, removed, last }: GivenPacks): Generator<number> {
  for (let pack = 1; pack <= last; pack++) {
    if (!sizes.has(pack) && !removed.has(pack)) yield pack;
  }
}

function isGiven(pack: number, last: number): boolean {
  return pack > 0 && pack <= last;
}

/**
 * Undefined: the pack is damaged; its frames are not referred to again, and a backup of their contents stores new
 * ones.
 */
async function soundEntries(
  { packs }: Store,
  pack: number,
  { swept, onDamage }: { readonly swept: SweptStock; readonly onDamage: OnDamage },
): Promise<readonly PackEntry[] | undefined> {
  try {
    const footer = await packs.footer(pack);
    const { header } = footer;
    if (header.number === pack) return await swept.livingOf(pack, footer);
    onDamage(packs.path(pack), `it says that it is pack ${header.number}`);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    onDamage(packs.path(pack), cause.message);
  }
  return undefined;
}

/** Old places of moved frames of these packs; `full`: packs with more of them than may be kept. */
async function movedFrames(
  { moved }: Store['packs'],
  packs: readonly number[],
  onDamage: OnDamage,
) {
  const keys: number[] = [];
  const full: number[] = [];
  const unreadable: number[] = [];
  for (const pack of packs) {
    try {
      const places = await moved.of(pack);
      if (keys.length + places.size > MOVED_MAX) full.push(pack);
      else for (const offset of places.keys()) keys.push(locationKey({ pack, offset }));
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      unreadable.push(pack);
      onDamage(moved.path(pack), cause.message);
    }
  }
  return { keys, full, unreadable };
}

function byDigest(marks: readonly Wanted[]): Map<string, Place[]> {
  const found = new Map<string, Place[]>();
  for (const { pack, frame } of marks) {
    if (!frame) continue;
    const key = digestKey(frame.digest);
    const places = found.get(key) ?? [];
    places.push({ pack, offset: frame.offset });
    found.set(key, places);
  }
  return found;
}
