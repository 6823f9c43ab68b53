import { dirname, join } from 'node:path/posix';
import { digestKey } from '../formats/store/digest.ts';
import type { PackEntry } from '../formats/store/pack.ts';
import type { Wanted } from '../formats/store/wanted.ts';
import { FormatError } from '../formats/format-error.ts';
import type { FileSystem } from '../sys/file-system.ts';
import type { World } from '../sys/world.ts';
import type { BlockIndex } from './block-index.ts';
import { readMoved } from './moved-frames.ts';
import { listPacks, movedPath } from './pack-path.ts';
import { salvageOpenPacks } from './salvage.ts';
import type { Store } from './store.ts';
import { StoreError } from './store-error.ts';
import { locationKey, type Place, type TrustData, trustData } from './trust.ts';

/** What a writer finds when it opens a store. */
export interface Stock {
  readonly trust: TrustData;
  /** Something that points may need is lost or damaged: what comes by may mend it. */
  readonly hasLoss: boolean;
  /** Marked frames by the `digestKey` of their contents. */
  readonly marks: ReadonlyMap<string, readonly Place[]>;
}

export interface StockOptions {
  /** Called while an index that is missing or behind catches up with the packs. */
  readonly onIndexing?: ((done: number, total: number) => void) | undefined;
  /** Called for packs that are missing or damaged. Nothing stops for them. */
  readonly onDamage?: ((where: string, what: string) => void) | undefined;
}

/**
 * Repairs what a crash left of packs, tells the index of those that it lacks, which are durable then, and finds out
 * what may be referred to. Rejects INDEX: the index speaks of other packs than these.
 */
export async function takeStock(
  { files }: World,
  store: Store,
  index: BlockIndex,
  { onIndexing, onDamage: tell }: StockOptions = {},
): Promise<Stock> {
  const damage: { readonly where: string; readonly what: string }[] = [];
  const onDamage = (where: string, what: string): void => void damage.push({ where, what });
  const { packs } = store;
  const directory = join(store.directory, 'packs');
  await salvageOpenPacks(files, directory);
  const sizes = await sizesOf({ files }, store);
  const known = await index.packs();
  const marks = await packs.wanted.list();
  const { moved, frames } = await movedFrames(files, directory, onDamage);
  const distrusted = new Set([
    ...frames,
    ...marks.flatMap(({ pack, frame }) =>
      frame ? [locationKey({ pack, offset: frame.offset })] : [],
    ),
  ]);

  const behind = [...sizes].filter(([pack, size]) => known.get(pack)?.size !== size);
  // A writer that was killed may have renamed what a power cut would still take back: what is found in such
  // a pack may not be referred to before.
  const groups = new Set(behind.map(([pack]) => dirname(packs.path(pack))));
  for (const path of [directory, ...groups]) await files.syncDirectory(path);
  const damaged = new Set([...sizes.keys()].filter((pack) => known.get(pack)?.isSound === false));
  for (const [done, [pack, size]] of behind.entries()) {
    const entries = await soundEntries(store, pack, onDamage);
    if (entries && known.has(pack)) {
      throw new StoreError('INDEX', `pack ${pack} is not the one that it knows`);
    }
    if (!entries) damaged.add(pack);
    const trusted = (entries ?? []).filter(
      ({ offset }) => !distrusted.has(locationKey({ pack, offset })),
    );
    await index.addPack({ pack, size, isSound: entries !== undefined }, trusted);
    onIndexing?.(done + 1, behind.length);
  }
  for (const { pack, isSound } of known.values()) {
    if (sizes.has(pack) || !isSound) continue;
    onDamage(packs.path(pack), 'the pack is missing');
    // Told once; what was in it stays unknown.
    await index.addPack({ pack, size: 0, isSound: false }, []);
  }
  for (const { where, what } of damage.slice(0, TOLD_MAX)) tell?.(where, what);
  const more = damage.length - TOLD_MAX;
  if (more > 0) tell?.(directory, `${more} more files are missing or damaged`);
  const last = [...sizes.keys(), ...known.keys(), ...moved].reduce((a, b) => Math.max(a, b), 0);
  const wholePacks = new Set(marks.filter(({ frame }) => !frame).map(({ pack }) => pack));
  const sound = [...sizes.keys()].filter((pack) => !damaged.has(pack) && !wholePacks.has(pack));
  return {
    trust: trustData(sound, last + 1, distrusted),
    // Numbers are given without gaps: one that is not there is a pack that was lost.
    hasLoss: sizes.size < last || damaged.size > 0 || marks.length > 0,
    marks: byDigest(marks),
  };
}

type OnDamage = (where: string, what: string) => void;

/** Damaged files that are named one by one. */
const TOLD_MAX = 20;
/** Sizes asked for at once. */
const STATS_MAX = 32;

async function sizesOf(
  { files }: Pick<World, 'files'>,
  { packs }: Store,
): Promise<ReadonlyMap<number, number>> {
  const numbers = await packs.list();
  const sizes = new Map<number, number>();
  for (let at = 0; at < numbers.length; at += STATS_MAX) {
    const some = numbers.slice(at, at + STATS_MAX);
    const found = await Promise.all(some.map((pack) => files.stat(packs.path(pack))));
    for (const [index, status] of found.entries()) {
      if (status?.kind === 'file') sizes.set(some[index]!, status.size);
    }
  }
  return sizes;
}

/** Undefined: the pack is damaged; what is in it is not referred to again, and stored anew when it comes by. */
async function soundEntries(
  { packs }: Store,
  pack: number,
  onDamage: OnDamage,
): Promise<readonly PackEntry[] | undefined> {
  try {
    const { header, entries } = await packs.footer(pack);
    if (header.number === pack) return entries;
    onDamage(packs.path(pack), `it says that it is pack ${header.number}`);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    onDamage(packs.path(pack), cause.message);
  }
  return undefined;
}

/** Places that frames were moved away from. */
async function movedFrames(files: FileSystem, directory: string, onDamage: OnDamage) {
  const moved = await listPacks(files, directory, 'moved');
  const frames: number[] = [];
  for (const pack of moved) {
    try {
      const places = await readMoved(files, directory, pack);
      for (const offset of places.keys()) frames.push(locationKey({ pack, offset }));
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      onDamage(movedPath(directory, pack), cause.message);
    }
  }
  return { moved, frames };
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
